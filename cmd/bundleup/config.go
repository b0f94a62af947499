package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"bundleup/configs"
	"bundleup/httpd"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Look at the configuration",
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
	cmd.AddCommand(check)
	return cmd
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
