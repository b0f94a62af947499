package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bundleup/auth"
	"bundleup/auth/audit"
	"bundleup/configs"
)

func tokenCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Issue, verify and revoke upload tokens",
		Long:  "An upload token is a user name and a password that any client takes. It lets its\nholder send bundles into one directory of one tenant, until it expires.",
		Args:  cobra.NoArgs,
		RunE:  help,
	}
	cmd.PersistentFlags().StringVar(&file, "config", "", "configuration `FILE` (default: the built-in values and the environment)")
	cmd.AddCommand(tokenIssueCommand(&file), tokenVerifyCommand(&file), tokenRevokeCommand(&file))
	return cmd
}

func tokenIssueCommand(file *string) *cobra.Command {
	var tenant, dir, expires, size string
	cmd := &cobra.Command{
		Use:   "issue --tenant TENANT --case CASE",
		Short: "Print the user name and the password of a new token",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			want, err := wantedToken(tenant, dir, expires, size, time.Now())
			if err != nil {
				return err
			}
			return failed(issueToken(cmd.OutOrStdout(), *file, want))
		},
	}
	cmd.Flags().StringVar(&tenant, "tenant", "", "the tenant that the bundles are for")
	cmd.Flags().StringVar(&dir, "case", "", "the directory of the tenant's that they go to")
	cmd.Flags().StringVar(&expires, "expires", "72h", "how long it is valid, as in 72h or 7d")
	cmd.Flags().StringVar(&size, "max-size", "", "what one bundle may have at most, as in 50GiB (default: what the server allows)")
	return cmd
}

// wantedToken reads the flags.
func wantedToken(tenant, dir, expires, size string, now time.Time) (t auth.Token, err error) {
	if tenant == "" || dir == "" {
		return t, errors.New("token issue: want --tenant and --case")
	}
	var d configs.Duration
	if err := d.UnmarshalText([]byte(expires)); err != nil {
		return t, fmt.Errorf("--expires: %w", err)
	}
	var n configs.Size
	if size != "" {
		if err := n.UnmarshalText([]byte(size)); err != nil {
			return t, fmt.Errorf("--max-size: %w", err)
		}
	}
	if d <= 0 || size != "" && n <= 0 {
		return t, errors.New("token issue: --expires and --max-size must be more than 0")
	}
	return auth.Token{Tenant: auth.Tenant(tenant), Case: dir, Expires: now.Add(time.Duration(d)), MaxSize: int64(n)}, nil
}

// issueToken is durable in the audit trail before anybody sees the password.
func issueToken(out io.Writer, file string, want auth.Token) error {
	cfg, err := configs.Load(file)
	if err != nil {
		return err
	}
	accounts, err := configs.LoadAccounts(cfg.Accounts)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(accounts.Tenants, func(t configs.Tenant) bool { return t.Name == string(want.Tenant) }) {
		return fmt.Errorf("tenant %q is not in %s: add an account of it first", want.Tenant, cfg.Accounts)
	}
	key, err := loadOrMakeTokenKey(cfg.Tokens.KeyFile(cfg.DataDir))
	if err != nil {
		return err
	}
	t, password, err := auth.IssueToken(key, want)
	if err != nil {
		return err
	}
	err = appendAudit(cfg, audit.Event{
		Type: audit.TokenIssue, Tenant: string(t.Tenant), Case: t.Case, Token: t.ID.String(), Size: t.MaxSize,
		By: operator(), Detail: "key " + t.Key.String() + ", expires " + t.Expires.UTC().Format(time.RFC3339),
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "user:     %s\npassword: %s\n%s", t.User(), password, describeToken(&t))
	return err
}

func describeToken(t *auth.Token) string {
	size := "what the server allows"
	if t.MaxSize > 0 {
		size = configs.Size(t.MaxSize).String()
	}
	return fmt.Sprintf("id:       %s\ninto:     /%s/ of tenant %s\nexpires:  %s\nmax size: %s\n",
		t.ID, t.Case, t.Tenant, t.Expires.UTC().Format(time.RFC3339), size)
}

func tokenVerifyCommand(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "verify USER",
		Short: "Explain a token, whose password is read from standard input; exit 1 if it lets nobody in",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return failed(verifyToken(cmd.InOrStdin(), cmd.OutOrStdout(), *file, args[0]))
		},
	}
}

func verifyToken(in io.Reader, out io.Writer, file, user string) error {
	cfg, err := configs.Load(file)
	if err != nil {
		return err
	}
	trust, err := loadTrust(cfg)
	if err != nil {
		return err
	}
	line, err := bufio.NewReader(io.LimitReader(in, auth.MaxPassword+2)).ReadString('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("read password: %w", err)
	}
	t, err := auth.ReadToken(trust.TokenKeys, user, []byte(strings.TrimRight(line, "\r\n")))
	if err != nil {
		return fmt.Errorf("%w: user name and password do not belong together, or the key that signed it is not accepted here", err)
	}
	fmt.Fprintf(out, "user:     %s\n%skey:      %s\n", t.User(), describeToken(t), t.Key)
	if _, revoked := trust.RevokedTokens[t.ID]; revoked {
		return errors.New("the token was revoked")
	}
	if !time.Now().Before(t.Expires) {
		return errors.New("the token has expired")
	}
	_, err = fmt.Fprintln(out, "state:    valid")
	return err
}

func tokenRevokeCommand(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID",
		Short: "Refuse a token from now on; a running daemon takes it up within seconds",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := auth.ParseTokenID(args[0])
			if err != nil {
				return err
			}
			return failed(revokeToken(cmd.OutOrStdout(), *file, id))
		},
	}
}

func revokeToken(out io.Writer, file string, id auth.TokenID) error {
	cfg, err := configs.Load(file)
	if err != nil {
		return err
	}
	revoked := cfg.Tokens.RevokedFile(cfg.DataDir)
	if err := configs.AddRevokedToken(revoked, id.String(), time.Now()); err != nil {
		return err
	}
	// The revocation counts, whatever becomes of its line in the trail.
	err = appendAudit(cfg, audit.Event{Type: audit.TokenKill, Token: id.String(), By: operator()})
	_, werr := fmt.Fprintf(out, "token %s is revoked, in %s\n", id, revoked)
	return errors.Join(err, werr)
}

// auditConfig is the trail's, from the configuration.
func auditConfig(cfg configs.Config) audit.Config {
	return audit.Config{File: cfg.Audit.File, RotateSize: int64(cfg.Audit.RotateSize), Keep: cfg.Audit.Keep}
}

// appendAudit writes events of a command to the trail, if one is kept.
func appendAudit(cfg configs.Config, events ...audit.Event) error {
	if cfg.Audit.File == "" {
		return nil
	}
	return audit.Append(auditConfig(cfg), events...)
}

// exists reports a file that is there.
func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
