package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"bundleup/configs"
)

// healthTimeout bounds the question; /readyz itself answers within 5 s.
const healthTimeout = 8 * time.Second

func healthcheckCommand() *cobra.Command {
	var file, url string
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running daemon whether it is ready; exit 1 if it is not",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if url == "" {
				cfg, err := configs.Load(file)
				if err != nil {
					return failed(err)
				}
				if len(cfg.Metrics.Listen) == 0 {
					return failed(errors.New("metrics.listen: it is empty: set it, or give --url"))
				}
				url = "http://" + cfg.Metrics.Listen[0] + "/readyz"
			}
			return failed(askReady(cmd.Context(), cmd.OutOrStdout(), url))
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration `FILE` that names the address in metrics.listen")
	cmd.Flags().StringVar(&url, "url", "", "`URL` to ask, in place of the configuration's")
	cmd.MarkFlagsMutuallyExclusive("config", "url")
	return cmd
}

// askReady prints the first line of the answer. It follows no redirects.
func askReady(ctx context.Context, out io.Writer, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := &http.Client{
		Timeout:       healthTimeout,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 256))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %s", resp.StatusCode, quoted(string(text)))
	}
	_, err = out.Write(text)
	return err
}
