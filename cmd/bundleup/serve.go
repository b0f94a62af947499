package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"bundleup/configs"
)

// gcPercent halves the CPU that the collector costs per byte received, while
// there is memory; limits.memory bounds what that costs when uploads are many.
const gcPercent = 400

// tuneMemory sets both, unless GOGC or GOMEMLIMIT in the environment does.
func tuneMemory(cfg configs.Config) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(cfg.Limits.Memory))
	}
}

func serveCommand() *cobra.Command {
	var file string
	var demo bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if demo {
				return failed(serveDemo(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()))
			}
			cfg, err := configs.Load(file)
			if err != nil {
				return failed(err)
			}
			return failed(serve(cmd.Context(), cfg, cmd.ErrOrStderr()))
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration `FILE` (default: the built-in values and the environment)")
	cmd.Flags().BoolVar(&demo, "demo", false, "serve from a throwaway directory and print what to type")
	cmd.MarkFlagsMutuallyExclusive("config", "demo")
	return cmd
}

// serve runs the daemon until ctx is done.
func serve(ctx context.Context, cfg configs.Config, errw io.Writer) error {
	log, err := newLogger(errw, cfg.Log)
	if err != nil {
		return err
	}
	if os.Getenv(handoverVar) != "" {
		log = log.With("pid", os.Getpid()) // two daemons may write to one log
	}
	tuneMemory(cfg)
	d, err := newDaemon(ctx, cfg, log)
	if err != nil {
		return err
	}
	return d.run(ctx)
}

// newLogger writes JSON, or tinted lines where a person reads along.
func newLogger(w io.Writer, cfg configs.Log) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	f, isFile := w.(*os.File)
	terminal := isFile && term.IsTerminal(int(f.Fd()))
	if cfg.Format == "tint" || cfg.Format == "auto" && terminal {
		return slog.New(tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !terminal})), nil
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})), nil
}
