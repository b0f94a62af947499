package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"bundleup/auth/audit"
	"bundleup/configs"
)

func auditCommand() *cobra.Command {
	var config, file, head string
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Look at the trail of who did what",
		Args:  cobra.NoArgs,
		RunE:  help,
	}
	verify := &cobra.Command{
		Use:   "verify",
		Short: "Find lines that were changed, are missing or stand elsewhere; exit 1",
		Long:  "verify holds every line against its hash and the one before it, and the end against\nthe head file. Note the head that it prints, and give it to a later run with --head:\nso an end that was cut off together with the head file shows as well.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			trail := file
			if trail == "" {
				cfg, err := configs.Load(config)
				if err != nil {
					return failed(err)
				}
				trail = cfg.Audit.File
			}
			return failed(verifyAudit(cmd.OutOrStdout(), trail, head))
		},
	}
	verify.Flags().StringVar(&config, "config", "", "configuration `FILE` that names the trail")
	verify.Flags().StringVar(&file, "file", "", "the trail's `FILE`, in place of the configuration's")
	verify.Flags().StringVar(&head, "head", "", "a head that was printed before, which the trail must still hold")
	verify.MarkFlagsMutuallyExclusive("config", "file")
	cmd.AddCommand(verify)
	return cmd
}

func verifyAudit(out io.Writer, file, head string) error {
	if file == "" {
		return fmt.Errorf("audit.file: no audit trail is kept")
	}
	r, err := audit.Verify(file, head)
	if err != nil {
		return err
	}
	for _, f := range r.Findings {
		fmt.Fprintln(out, f)
	}
	if r.More > 0 {
		fmt.Fprintf(out, "and %d more\n", r.More)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(out, "note: %s\n", n)
	}
	if n := len(r.Findings) + r.More; n > 0 {
		return fmt.Errorf("%s: %d findings: the trail is not whole", file, n)
	}
	_, err = fmt.Fprintf(out, "ok: lines %d to %d\nhead: %s\n", r.First, r.Last, r.Head)
	return err
}
