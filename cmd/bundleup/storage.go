package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"bundleup/configs"
	"bundleup/vfs/store/s3"
)

func storageCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "storage",
		Short: "Look at the storage, or move all of it to the other kind",
		Args:  cobra.NoArgs,
		RunE:  help,
	}
	cmd.AddCommand(storageCheckCommand(), storageCopyCommand())
	return cmd
}

func storageCheckCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Ask an S3 storage what it honours: exit 1 if several daemons may not share it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configs.Load(file)
			if err == nil && cfg.Storage.S3.Bucket == "" {
				err = errors.New("storage.s3.bucket: the bucket has no name")
			}
			if err != nil {
				return failed(err)
			}
			g, err := s3.Probe(cmd.Context(), s3Options(cfg))
			if err != nil {
				return failed(err)
			}
			return failed(tellGuarantees(cmd, g))
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration `FILE`")
	return cmd
}

// tellGuarantees says what an operator has to know, worst last.
func tellGuarantees(cmd *cobra.Command, g s3.Guarantees) error {
	out := cmd.OutOrStdout()
	for _, row := range []struct {
		ok       bool
		what     string
		needless string // what is lost without it
	}{
		{g.Create, "a put with If-None-Match fails where an object is", "two daemons could claim one name"},
		{g.Replace, "a put with If-Match fails where the object has changed", "a daemon taken for dead could go on writing"},
		{g.Read, "a get with If-Match fails where the object has changed", "a replaced index could be read half and half"},
		{g.CRC32C || g.MD5, "the digest of a body is verified (" + digests(g) + ")", "errors on the way go unnoticed"},
		{g.List, "objects can be listed", "nothing works"},
		{g.Uploads, "multipart uploads can be listed", "abandoned ones stay: set a lifecycle rule"},
	} {
		mark, why := "yes", ""
		if !row.ok {
			mark, why = "NO ", ": "+row.needless
		}
		if _, err := fmt.Fprintf(out, "%s  %s%s\n", mark, row.what, why); err != nil {
			return err
		}
	}
	if !g.MultiNode() {
		return fmt.Errorf("%w: set storage.s3.single_node, or use another storage", s3.ErrOneNode)
	}
	_, err := fmt.Fprintln(out, "several daemons may share this storage")
	return err
}

func digests(g s3.Guarantees) string {
	switch {
	case g.CRC32C && g.MD5:
		return "CRC32C and MD5"
	case g.CRC32C:
		return "CRC32C"
	case g.MD5:
		return "MD5"
	}
	return "neither CRC32C nor MD5"
}
