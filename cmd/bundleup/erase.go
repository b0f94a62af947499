package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"bundleup/auth"
	"bundleup/auth/audit"
	"bundleup/configs"
	"bundleup/vfs"
	"bundleup/vfs/store/disk"
)

func eraseCommand() *cobra.Command {
	var config, tenant, dir, reason string
	cmd := &cobra.Command{
		Use:   "erase --tenant TENANT",
		Short: "Remove for good what a tenant has sent, or one case of it; the daemon must be stopped",
		Long:  "erase removes bundles, unfinished uploads, indexes and receipts, and writes a\ncertificate of that to the audit trail: without a trail it does not begin. Names go\nwith the bundles; the certificate holds their hashes. Accounts stay.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if tenant == "" {
				return errors.New("erase: want --tenant")
			}
			if _, err := auth.ParseTenant(tenant); err != nil {
				return err
			}
			if dir != "" {
				if err := auth.CheckCase(dir); err != nil {
					return err
				}
			}
			return failed(erase(cmd.Context(), cmd.OutOrStdout(), config, &order{tenant: tenant, dir: dir, reason: reason}))
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration `FILE` (default: the built-in values and the environment)")
	cmd.Flags().StringVar(&tenant, "tenant", "", "the tenant")
	cmd.Flags().StringVar(&dir, "case", "", "one directory of the tenant's (default: all it has)")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the certificate")
	return cmd
}

// order is what is to be erased, and what was.
type order struct {
	tenant, dir, reason string
	counts              map[vfs.Remains]int64
	bytes               int64
	pending             []audit.Event // one for each thing that is gone
}

// erase writes the order to the trail before anything is removed, what was removed
// as it goes, and the certificate at the end. The store's lock keeps a daemon out
// meanwhile.
func erase(ctx context.Context, out io.Writer, config string, o *order) error {
	cfg, err := configs.Load(config)
	if err != nil {
		return err
	}
	if cfg.Audit.File == "" {
		return errors.New("audit.file: no audit trail is kept: erase writes a certificate to it")
	}
	if err := checkHolds(cfg, o); err != nil {
		return err
	}
	s, err := openForErase(ctx, cfg)
	if err != nil {
		return err
	}
	defer s.Close()
	tree, err := vfs.NewTree(ctx, vfs.Config{Store: s, Tenants: func() []auth.Tenant { return nil }})
	if err != nil {
		return err
	}
	if err := appendAudit(cfg, o.event(audit.EraseBegun, o.reason)); err != nil {
		return err
	}
	o.counts = make(map[vfs.Remains]int64)
	err = tree.Erase(ctx, auth.Tenant(o.tenant), o.dir, func(e vfs.Erased) { o.gone(cfg, e) })
	detail := fmt.Sprintf("%d bundles, %d unfinished uploads, %d receipts of refusals", o.counts[vfs.Bundle], o.counts[vfs.Unfinished], o.counts[vfs.Receipts])
	if err != nil {
		detail += "; it failed, and the rest is still there"
	}
	certificate := o.event(audit.Erased, detail)
	certificate.Bytes, certificate.Count = o.bytes, o.counts[vfs.Bundle]
	err = errors.Join(err, appendAudit(cfg, append(o.pending, certificate)...))
	if err == nil {
		_, err = fmt.Fprintf(out, "erased: %s, %d bytes\n", detail, o.bytes)
	}
	return err
}

// checkHolds refuses what is on legal hold. Where nobody can tell, it may be.
func checkHolds(cfg configs.Config, o *order) error {
	file, err := configs.LoadAccounts(cfg.Accounts)
	if err != nil {
		return fmt.Errorf("erase: what is on hold is not known: %w", err)
	}
	for _, t := range file.Tenants {
		for _, hold := range t.Hold {
			held := strings.Trim(hold, "/")
			if t.Name == o.tenant && (o.dir == "" || held == "" || held == o.dir || strings.HasPrefix(held, o.dir+"/")) {
				return fmt.Errorf("%s of tenant %s is on hold: take the hold out of %s first", hold, t.Name, cfg.Accounts)
			}
		}
	}
	return nil
}

// openForErase opens the store where nobody else has it, or one that daemons share.
func openForErase(ctx context.Context, cfg configs.Config) (medium, error) {
	if cfg.Storage.Kind == "s3" {
		s, err := openS3(ctx, cfg)
		if err != nil {
			return nil, err
		}
		if r := s.Report(); r.Stuck > 0 {
			return nil, errors.Join(fmt.Errorf("%d uploads cannot be repaired, and would stay: %w", r.Stuck, r.Err), s.Close())
		}
		return s, nil
	}
	if !exists(cfg.Storage.Disk.Root) {
		return nil, fmt.Errorf("storage.disk.root: there is no %s", cfg.Storage.Disk.Root)
	}
	s, err := disk.Open(cfg.Storage.Disk.Root, disk.Options{})
	if errors.Is(err, disk.ErrLocked) {
		return nil, fmt.Errorf("the daemon is running: stop it first: %w", err)
	}
	if err != nil {
		return nil, err
	}
	if r := s.Report(); r.Stuck > 0 {
		return nil, errors.Join(fmt.Errorf("%d uploads cannot be repaired, and would stay: %w", r.Stuck, r.Err), s.Close())
	}
	return s, nil
}

func (o *order) event(t audit.Type, detail string) audit.Event {
	return audit.Event{Type: t, Tenant: o.tenant, Case: o.dir, By: operator(), Detail: detail}
}

// maxPendingErased is after how many removals their lines are written.
const maxPendingErased = 1000

// gone notes one removal. A trail that cannot be written now is tried again with
// the next lines: what is gone must be in it.
func (o *order) gone(cfg configs.Config, e vfs.Erased) {
	name := sha256.Sum256([]byte(e.Name))
	ev := o.event(audit.ErasedOne, string(e.Kind))
	ev.Upload, ev.SHA256, ev.Size, ev.NameSHA256 = e.Upload, e.SHA256, e.Size, hex.EncodeToString(name[:])
	o.pending = append(o.pending, ev)
	o.counts[e.Kind]++
	o.bytes += e.Size
	if len(o.pending) >= maxPendingErased && appendAudit(cfg, o.pending...) == nil {
		o.pending = o.pending[:0]
	}
}
