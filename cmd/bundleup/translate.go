package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"

	"bundleup/auth"
	"bundleup/configs"
	"bundleup/sshd"
)

// loadDirectory reads the accounts file and makes a Directory of it. An error names
// file, line and key.
func loadDirectory(path string) (*auth.Directory, error) {
	file, err := configs.LoadAccounts(path)
	if err != nil {
		return nil, err
	}
	accounts := make([]auth.Account, len(file.Accounts))
	for i, a := range file.Accounts {
		if accounts[i], err = account(a); err != nil {
			return nil, &configs.KeyError{File: path, Line: a.Line, Key: fmt.Sprintf("accounts[%d]", i), Err: err}
		}
	}
	tenants := make([]auth.TenantInfo, len(file.Tenants))
	for i, t := range file.Tenants {
		tenants[i] = auth.TenantInfo{
			Name: auth.Tenant(t.Name), Quota: int64(t.Quota), QuotaFiles: t.QuotaFiles, QuotaDaily: int64(t.QuotaDaily),
			Retention: time.Duration(t.Retention), Hold: t.Hold,
		}
	}
	d, err := auth.NewDirectory(tenants, accounts)
	if invalid := (*auth.InvalidError)(nil); errors.As(err, &invalid) {
		line := 0
		if invalid.List == "accounts" {
			line = file.Accounts[invalid.Index].Line
		} else {
			line = file.Tenants[invalid.Index].Line
		}
		return nil, &configs.KeyError{File: path, Line: line, Key: fmt.Sprintf("%s[%d].%s", invalid.List, invalid.Index, invalid.Field), Err: invalid.Err}
	}
	return d, err
}

// account gives plain data its types.
func account(a configs.Account) (auth.Account, error) {
	role, err := auth.ParseRole(a.Role)
	if err != nil {
		return auth.Account{}, err
	}
	out := auth.Account{Name: a.Name, Role: role, Tenant: auth.Tenant(a.Tenant), Expand: a.Expand, Password: a.Password}
	for _, t := range a.Tenants {
		out.Tenants = append(out.Tenants, auth.Tenant(t))
	}
	if out.Keys, err = publicKeys(a.Keys); err != nil {
		return auth.Account{}, err
	}
	return out, restrict(&out, a)
}

// restrict gives an account what narrows its logins.
func restrict(out *auth.Account, a configs.Account) error {
	for i, s := range a.Require {
		m, err := auth.ParseMethod(s)
		if err != nil {
			return fmt.Errorf("require[%d]: %w", i, err)
		}
		out.Require = append(out.Require, m)
	}
	for i, s := range a.From {
		p, err := auth.ParseNetwork(s)
		if err != nil {
			return fmt.Errorf("from[%d]: %w", i, err)
		}
		out.From = append(out.From, p)
	}
	out.Expires, out.Disabled = a.Expires.Time, a.Disabled
	out.MaxSessions, out.Bandwidth = a.MaxSessions, int64(a.Bandwidth)
	return nil
}

func publicKeys(lines []string) (keys []ssh.PublicKey, err error) {
	for i, line := range lines {
		key, _, err := auth.ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// sshLimits are the server's, from the configuration.
func sshLimits(cfg configs.Config) (sshd.Limits, error) {
	l, p := cfg.Limits, cfg.Limits.Penalties
	start, rate, full, err := l.ParseStartups()
	return sshd.Limits{
		Connections:           l.Connections,
		ConnectionsPerAccount: l.ConnectionsPerAccount,
		ConnectionsPerSource:  l.ConnectionsPerSource,
		Startups:              sshd.Startups{Start: start, Rate: rate, Full: full},
		StartupsPerSource:     l.StartupsPerSource,
		IPv4Prefix:            l.IPv4Prefix,
		IPv6Prefix:            l.IPv6Prefix,
		Penalties: auth.Penalties{
			AuthFail: time.Duration(p.AuthFail), InvalidUser: time.Duration(p.InvalidUser), NoAuth: time.Duration(p.NoAuth),
			GraceExceeded: time.Duration(p.GraceExceeded), Crash: time.Duration(p.Crash),
			Min: time.Duration(p.Min), Max: time.Duration(p.Max), Sources: p.Sources,
		},
		SessionsPerConnection: l.Sessions,
		HandlesPerSession:     l.OpenHandles,
		HandlesPerAccount:     l.HandlesPerAccount,
		AuthTries:             l.AuthTries,
		Handshake:             time.Duration(l.Handshake),
		KeyExchange:           time.Duration(l.KeyExchange),
		Idle:                  time.Duration(l.Idle),
		Stalled:               time.Duration(l.Stalled),
		SessionIdle:           time.Duration(l.SessionIdle),
		KeepAlive:             time.Duration(l.KeepAlive),
		WriteTimeout:          time.Duration(l.WriteTimeout),
	}, err
}

// sshConfig is the server's, but for what the daemon has built.
func sshConfig(cfg configs.Config) (c sshd.Config, err error) {
	if c.Limits, err = sshLimits(cfg); err != nil {
		return c, err
	}
	if c.Exempt, err = configs.Networks("limits.exempt", cfg.Limits.Exempt); err != nil {
		return c, err
	}
	c.Balancers, err = configs.Networks("ssh.balancers", cfg.SSH.Balancers)
	c.Legacy = cfg.SSH.Legacy.Algorithms
	return c, err
}
