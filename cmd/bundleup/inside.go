package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"bundleup/auth"
	"bundleup/configs"
	"bundleup/vfs"
	"bundleup/vfs/inside"
)

// insideCommands are those of package inside that make sense for local files.
func insideCommands() []*cobra.Command {
	return []*cobra.Command{
		insideCommand("ls", "ls [-l] FILE...", "List what is inside bundles", listed),
		insideCommand("cat", "cat FILE.tgz.d/NAME...", "Write out files that are inside bundles", nil),
		insideCommand("grep", "grep [-i] [-n] [-b] [-c] [-l] [-h] [-a] [-F] REGEXP FILE...", "Search bundles, or what is inside them, on all cores", nil),
	}
}

// insideCommand runs one of them. It parses its own options, as the tool it is named
// after does.
func insideCommand(name, use, short string, change func([]string) []string) *cobra.Command {
	return &cobra.Command{
		Use:                use,
		Short:              short,
		Long:               short + ". What is inside FILE.tgz lies in FILE.tgz.d. The first look at a\nbundle reads all of it; its index is kept in the user's cache for the next.",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && (args[0] == "--help" || name != "grep" && args[0] == "-h") {
				return cmd.Help()
			}
			if change != nil {
				args = change(args)
			}
			files := newLocalFiles(newLocalIndexes(cmd.ErrOrStderr()))
			defer files.close()
			out, ok := cmd.OutOrStdout().(*os.File)
			stdio := inside.IO{Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr(), Terminal: ok && term.IsTerminal(int(out.Fd()))}
			if status := inside.New(inside.Config{}).Run(cmd.Context(), files, stdio, name, args); status != 0 {
				return exitError{code: status}
			}
			return nil
		},
	}
}

// listed takes a bundle for what is inside: plain ls has the file itself to show.
func listed(args []string) []string {
	var list []string
	for _, arg := range args {
		if strings.HasSuffix(strings.ToLower(arg), ".tgz") {
			arg += ".d"
		}
		list = append(list, arg)
	}
	return list
}

// indexCommand makes indexes in the store of a daemon that is not running. A running
// one makes them by itself.
func indexCommand() *cobra.Command {
	var file string
	var all bool
	cmd := &cobra.Command{
		Use:   "index [--all] [TENANT/NAME...]",
		Short: "Make the indexes of stored bundles that have none, or a damaged one",
		Long:  "Make the indexes of stored bundles that have none, or a damaged one. The daemon must\nnot be running: it makes them by itself, when a bundle arrives or is first looked into.",
		RunE: func(cmd *cobra.Command, names []string) error {
			if all == (len(names) > 0) {
				return fmt.Errorf("give either --all or the bundles, as TENANT/NAME.tgz")
			}
			return failed(indexStored(cmd, file, names))
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all bundles of all tenants")
	cmd.Flags().StringVar(&file, "config", "", "configuration file")
	return cmd
}

func indexStored(cmd *cobra.Command, file string, names []string) error {
	cfg, err := configs.Load(file)
	if err != nil {
		return err
	}
	m, _, err := openMedium(cmd.Context(), cfg, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer m.Close()
	tree, err := vfs.NewTree(cmd.Context(), vfs.Config{
		Store: m, Check: checkLimits(cfg.Check), Tenants: func() []auth.Tenant { return nil },
		Scratch: newScratch,
	})
	if err != nil {
		return err
	}
	defer tree.Close()
	bad, errs := 0, cmd.ErrOrStderr()
	progress := func(line string) { fmt.Fprintf(errs, "bundleup: %s\n", line) }
	told := func(name string, err error) {
		if err != nil {
			bad++
			fmt.Fprintf(errs, "bundleup: %s: %v\n", name, err)
			return
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s\n", name)
	}
	for _, name := range names {
		told(name, tree.IndexOne(cmd.Context(), name, progress))
	}
	if len(names) == 0 {
		err = tree.IndexAll(cmd.Context(), told, progress)
	}
	if err == nil && bad > 0 {
		err = fmt.Errorf("%d bundles have no index", bad)
	}
	return err
}
