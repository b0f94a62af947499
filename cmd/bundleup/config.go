package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"bundleup/configs"
	"bundleup/httpd"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Look at the configuration; write files of it",
		Args:  cobra.NoArgs,
		RunE:  help,
	}
	var file string
	check := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with the configuration and the accounts, by key; exit 1",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkConfig(file); err != nil {
				return failed(err)
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "ok")
			return failed(err)
		},
	}
	check.Flags().StringVar(&file, "config", "", "configuration `FILE` (default: the built-in values and the environment)")
	cmd.AddCommand(check, configWriteCommand())
	return cmd
}

// configWriteCommand is for platforms that hand secrets over in the environment: run
// before the daemon, with a directory that both have, it keeps them out of the
// daemon's.
func configWriteCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "write FILE=VARIABLE...",
		Short: "Write what variables of the environment hold into files of mode 0600",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, arg := range args {
				file, name, ok := strings.Cut(arg, "=")
				if !ok || file == "" || name == "" {
					return fmt.Errorf("%q is not FILE=VARIABLE", arg)
				}
				if err := writeVariable(file, name); err != nil {
					return failed(err)
				}
			}
			return nil
		},
	}
}

// writeVariable replaces a file by the value of a variable, which must not be empty:
// a secret that is missing is a mistake.
func writeVariable(file, name string) error {
	value := os.Getenv(name)
	if value == "" {
		return fmt.Errorf("write %s: variable %s is empty", file, name)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return writeOnce(file, []byte(value), 0o600)
}

// checkConfig tries all that serve reads before it listens. No accounts file yet is
// not an error of the configuration.
func checkConfig(file string) error {
	cfg, err := configs.Load(file)
	if err != nil {
		return err
	}
	if _, err := loadTrust(cfg); err != nil {
		return err
	}
	if err := checkWebhook(&cfg.Webhook); err != nil {
		return err
	}
	if _, err := os.Stat(cfg.Accounts); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_, err = loadDirectory(cfg.Accounts)
	return err
}

func checkWebhook(c *configs.Webhook) error {
	if c.URL == "" {
		return nil
	}
	if err := httpd.CheckWebhookURL(c.URL); err != nil {
		return fmt.Errorf("webhook.url: %w", err)
	}
	if _, err := httpd.LoadWebhookSecrets(c.SecretFile); err != nil {
		return fmt.Errorf("webhook.secret_file: %w", err)
	}
	return nil
}
