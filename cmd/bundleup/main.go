// Command bundleup is an upload daemon for diagnostic bundles, and the tools to
// run it: see "bundleup help".
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole command but for the process: it returns the exit status. 2
// says that the command line was wrong, 1 that what it asked for failed.
func run(ctx context.Context, args []string, in io.Reader, out, errw io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errw)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	e := exitError{code: 2, err: err}
	errors.As(err, &e)
	if e.err != nil {
		fmt.Fprintf(errw, "bundleup: %v\n", e.err)
	}
	return e.code
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "bundleup",
		Short:         "An upload daemon for diagnostic bundles",
		Long:          "bundleup receives diagnostic bundles (.tgz) over SFTP and scp, checks them while the\nbytes arrive, and gives support a read-only view of every tenant's area.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          help,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(serveCommand(), checkCommand(), indexCommand(), accountCommand(), tokenCommand(), auditCommand(), eraseCommand(), configCommand(), storageCommand(), versionCommand(),
		explainCommand(), canaryCommand(), healthcheckCommand())
	root.AddCommand(insideCommands()...)
	return root
}

// help is what a command does that only holds others. As a RunE it makes cobra
// refuse unknown ones.
func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// exitError is an error that decides the exit status itself. Any other error of
// a command is about its usage and exits with 2. A nil err has been told
// already.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

// failed wraps an error that is not about the command line.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return exitError{code: 1, err: err}
}
