package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"bundleup/auth"
	"bundleup/configs"
)

// accountFlags say which accounts file a command works on.
type accountFlags struct{ accounts, config string }

func (f *accountFlags) add(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&f.accounts, "accounts", "", "accounts `FILE`")
	cmd.PersistentFlags().StringVar(&f.config, "config", "", "configuration `FILE` that names the accounts file")
}

func (f *accountFlags) path() (string, error) {
	switch {
	case f.accounts != "" && f.config != "":
		return "", errors.New("give --accounts or --config, not both")
	case f.accounts != "":
		return f.accounts, nil
	}
	cfg, err := configs.Load(f.config)
	return cfg.Accounts, failed(err)
}

func accountCommand() *cobra.Command {
	var where accountFlags
	cmd := &cobra.Command{
		Use:   "account",
		Short: "Add, list and remove accounts",
		Args:  cobra.NoArgs,
		RunE:  help,
	}
	where.add(cmd)
	cmd.AddCommand(accountAddCommand(&where), accountListCommand(&where), accountRemoveCommand(&where))
	return cmd
}

func accountAddCommand(where *accountFlags) *cobra.Command {
	var a configs.Account
	var keyFiles []string
	var passwordStdin bool
	var expires, bandwidth string
	cmd := &cobra.Command{
		Use:   "add NAME --role customer --tenant TENANT --key FILE",
		Short: "Add an account, and its tenant if that is new",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.Name = args[0]
			path, err := where.path()
			if err != nil {
				return err
			}
			if err := checkAccountFlags(&a, len(keyFiles) > 0 || passwordStdin); err != nil {
				return err
			}
			if err := readUnits(&a, expires, bandwidth); err != nil {
				return err
			}
			if err := readCredentials(cmd.InOrStdin(), &a, keyFiles, passwordStdin); err != nil {
				return failed(err)
			}
			return failed(addAccount(path, a))
		},
	}
	cmd.Flags().StringVar(&a.Role, "role", "", "customer (writes) or support (reads)")
	cmd.Flags().StringVar(&a.Tenant, "tenant", "", "the customer's tenant")
	cmd.Flags().StringSliceVar(&a.Tenants, "tenants", nil, "the tenants that a support account sees (default: all)")
	cmd.Flags().StringArrayVar(&keyFiles, "key", nil, "public key `FILE` (.pub), may be repeated")
	cmd.Flags().StringSliceVar(&a.Require, "require", nil, "methods that a login must prove, in this order: publickey,password")
	cmd.Flags().StringSliceVar(&a.From, "from", nil, "networks that it may log in from, as in 192.0.2.0/24")
	cmd.Flags().StringVar(&expires, "expires", "", "from when on it may do nothing new, as in 2027-01-31 (UTC)")
	cmd.Flags().IntVar(&a.MaxSessions, "max-sessions", 0, "connections that it may have at once (default: the server's limit)")
	cmd.Flags().StringVar(&bandwidth, "bandwidth", "", "bytes per second each way, as in 10MiB (default: unbounded)")
	cmd.Flags().BoolVar(&passwordStdin, "password-stdin", false, "read a password from the first line of standard input")
	return cmd
}

// checkAccountFlags says what is missing on the command line.
func checkAccountFlags(a *configs.Account, credential bool) error {
	switch {
	case a.Role != "customer" && a.Role != "support":
		return fmt.Errorf("account add: --role is %q: want customer or support", a.Role)
	case a.Role == "customer" && a.Tenant == "":
		return errors.New("account add: a customer needs --tenant")
	case !credential:
		return errors.New("account add: want --key FILE or --password-stdin")
	}
	return nil
}

// readUnits fills in what has a unit.
func readUnits(a *configs.Account, expires, bandwidth string) error {
	if expires != "" {
		if err := a.Expires.UnmarshalText([]byte(expires)); err != nil {
			return fmt.Errorf("--expires: %w", err)
		}
	}
	if bandwidth != "" {
		if err := a.Bandwidth.UnmarshalText([]byte(bandwidth)); err != nil {
			return fmt.Errorf("--bandwidth: %w", err)
		}
	}
	return nil
}

// readCredentials fills in keys and password hash.
func readCredentials(in io.Reader, a *configs.Account, keyFiles []string, passwordStdin bool) error {
	for _, file := range keyFiles {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if _, _, err := auth.ParseKey(line); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			a.Keys = append(a.Keys, line)
		}
	}
	if len(keyFiles) > 0 && len(a.Keys) == 0 {
		return fmt.Errorf("no public key in %s", strings.Join(keyFiles, ", "))
	}
	if !passwordStdin {
		return nil
	}
	line, err := bufio.NewReader(io.LimitReader(in, auth.MaxPassword+3)).ReadString('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("read password: %w", err)
	}
	a.Password, err = auth.HashPassword([]byte(strings.TrimRight(line, "\r\n")))
	return err
}

// addAccount checks the account by the rules of the daemon before it is written.
func addAccount(path string, a configs.Account) error {
	typed, err := account(a)
	if err != nil {
		return err
	}
	tenants := []auth.TenantInfo{}
	for _, t := range append(typed.Tenants, typed.Tenant) {
		if t != "" {
			tenants = append(tenants, auth.TenantInfo{Name: t})
		}
	}
	_, err = auth.NewDirectory(tenants, []auth.Account{typed})
	if invalid := (*auth.InvalidError)(nil); errors.As(err, &invalid) {
		return fmt.Errorf("%s: %w", invalid.Field, invalid.Err)
	}
	if err != nil {
		return err
	}
	return configs.AddAccount(path, a)
}

func accountListCommand(where *accountFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the accounts",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := where.path()
			if err != nil {
				return err
			}
			file, err := configs.LoadAccounts(path)
			if err != nil {
				return failed(err)
			}
			return failed(listAccounts(cmd.OutOrStdout(), file.Accounts))
		},
	}
}

func listAccounts(out io.Writer, accounts []configs.Account) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tROLE\tTENANT\tPASSWORD\tKEYS")
	for _, a := range accounts {
		tenant, password := a.Tenant, "no"
		if a.Role == "support" {
			tenant = strings.Join(a.Tenants, ",")
			if tenant == "" {
				tenant = "(all)"
			}
		}
		if a.Password != "" {
			password = "yes"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.Name, a.Role, tenant, password, strings.Join(fingerprints(a.Keys), " "))
	}
	return w.Flush()
}

func fingerprints(lines []string) (list []string) {
	for _, line := range lines {
		key, _, err := auth.ParseKey(line)
		if err != nil {
			list = append(list, "(invalid)")
			continue
		}
		list = append(list, ssh.FingerprintSHA256(key))
	}
	return list
}

func accountRemoveCommand(where *accountFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove an account; its tenant and what it sent stay",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := where.path()
			if err != nil {
				return err
			}
			return failed(configs.RemoveAccount(path, args[0]))
		},
	}
}
