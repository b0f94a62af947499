package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"bundleup/auth"
	"bundleup/auth/audit"
	"bundleup/httpd"
	"bundleup/vfs"
	"bundleup/vfs/store/disk"
)

// BenchmarkOverhead is an upload to a disk without eyes and with all of them:
// metrics, log and audit trail. Compare the two: that is what they cost.
func BenchmarkOverhead(b *testing.B) {
	var buf bytes.Buffer
	if err := writeBundle(&buf, 32<<20, 1); err != nil {
		b.Fatal(err)
	}
	bundle := buf.Bytes()
	for _, eyes := range []bool{false, true} {
		b.Run(fmt.Sprintf("eyes=%v", eyes), func(b *testing.B) {
			view := overheadView(b, eyes)
			b.SetBytes(int64(len(bundle)))
			for i := 0; b.Loop(); i++ {
				u, err := view.Create(b.Context(), fmt.Sprintf("/diag-%d.tgz", i), vfs.Flags{Create: true})
				if err != nil {
					b.Fatal(err)
				}
				for off := 0; off < len(bundle); off += 32 << 10 {
					if _, err := u.Write(bundle[off:min(off+32<<10, len(bundle))]); err != nil {
						b.Fatal(err)
					}
				}
				// Thrown away: the sync at the end is the disk's, and hides all else.
				if err := u.Discard(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func overheadView(b *testing.B, eyes bool) vfs.View {
	s, err := disk.Open(b.TempDir(), disk.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	cfg := vfs.Config{Store: s, Tenants: func() []auth.Tenant { return []auth.Tenant{"acme"} }}
	if eyes {
		trail, err := audit.Open(audit.Config{File: b.TempDir() + "/audit.jsonl", RotateSize: 64 << 20}, audit.Event{Type: audit.Started})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { trail.Close() })
		metrics := httpd.NewMetrics("", httpd.Sources{})
		cfg.Meter = metrics.Meter()
		cfg.Events = logEvents(slog.New(slog.NewJSONHandler(io.Discard, nil))).Tee(auditUploads(trail.Record)).Tee(metrics.Events())
	}
	tree, err := vfs.NewTree(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	view, err := tree.View(&auth.Account{Name: "acme", Role: auth.Customer, Tenant: "acme"}, vfs.Peer{Protocol: "sftp"})
	if err != nil {
		b.Fatal(err)
	}
	return view
}
