package configs

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/viper"
)

// keyDelimiter is not ".", which may be in a value that viper takes for a key.
const keyDelimiter = "::"

// Load reads the file, lays the environment over it (BUNDLEUP_SSH_LISTEN for
// ssh.listen; lists with commas) and checks the result. An empty path means the
// defaults and the environment. Relative paths are resolved against the file's
// directory. An error is one line that names file, line and key.
func Load(path string) (Config, error) {
	var data []byte
	if path != "" {
		var err error
		if data, err = os.ReadFile(path); err != nil {
			return Config{}, fmt.Errorf("read configuration: %w", err)
		}
	}
	if err := examine(path, data); err != nil {
		return Config{}, err
	}
	cfg, err := overlay(data)
	if err != nil {
		return Config{}, err
	}
	if err := cfg.Validate(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", orEnvironment(path), err)
	}
	cfg.resolve(filepath.Dir(path))
	return cfg, nil
}

func orEnvironment(path string) string {
	if path == "" {
		return "environment"
	}
	return path
}

// examine finds what is wrong with the file itself; viper knows no lines.
func examine(path string, data []byte) error {
	root, err := parse(path, data)
	if err != nil || root == nil {
		return err
	}
	scratch := Default()
	return newDecoder(path).decode(root, reflect.ValueOf(&scratch).Elem(), "")
}

// overlay gives the defaults under the file under the environment.
func overlay(data []byte) (Config, error) {
	v := viper.NewWithOptions(viper.KeyDelimiter(keyDelimiter), viper.ExperimentalBindStruct())
	v.SetConfigType("yaml")
	v.SetEnvPrefix("BUNDLEUP")
	v.SetEnvKeyReplacer(strings.NewReplacer(keyDelimiter, "_"))
	v.AutomaticEnv()
	if err := v.ReadConfig(bytes.NewReader(data)); err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	cfg := Default()
	if err := v.UnmarshalExact(&cfg, viper.DecodeHook(decodeText)); err != nil {
		return Config{}, fmt.Errorf("environment: %s", oneLine(err))
	}
	return cfg, nil
}

// decodeText gives viper our units, and lists from the environment.
func decodeText(from, to reflect.Type, data any) (any, error) {
	switch {
	case reflect.PointerTo(to).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		v := reflect.New(to)
		err := v.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(fmt.Sprint(data)))
		return v.Elem().Interface(), err
	case from.Kind() == reflect.String && to == reflect.TypeFor[[]string]():
		if data == "" {
			return []string{}, nil
		}
		return strings.Split(data.(string), ","), nil
	}
	return data, nil
}

func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// Validate reports the first value out of its range, by key.
func (c *Config) Validate() error {
	if err := c.validateAddresses(); err != nil {
		return err
	}
	if err := c.HTTP.validate(); err != nil {
		return err
	}
	if err := c.Storage.validate(); err != nil {
		return err
	}
	if (c.Webhook.URL == "") != (c.Webhook.SecretFile == "") {
		return errors.New("webhook.url and webhook.secret_file: set both or none")
	}
	for _, e := range []struct {
		key, value string
		allowed    []string
	}{
		{"storage.kind", c.Storage.Kind, []string{"disk", "s3"}},
		{"log.level", c.Log.Level, []string{"debug", "info", "warn", "error"}},
		{"log.format", c.Log.Format, []string{"auto", "json", "tint"}},
	} {
		if !slices.Contains(e.allowed, e.value) {
			return fmt.Errorf("%s: %q is not one of %s", e.key, e.value, strings.Join(e.allowed, ", "))
		}
	}
	if _, _, _, err := c.Limits.ParseStartups(); err != nil {
		return err
	}
	return c.validateRanges()
}

// validate looks at what keeps secrets off the wire.
func (h *HTTP) validate() error {
	if (h.Certificate == "") != (h.Key == "") {
		return errors.New("http.certificate and http.key: set both or none")
	}
	if h.Certificate != "" || h.Plain {
		return nil
	}
	for _, addr := range h.Listen {
		host, _, _ := net.SplitHostPort(addr)
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return fmt.Errorf("http.listen: %s would carry secrets in the clear: set http.certificate and http.key, or http.plain behind a balancer", addr)
		}
	}
	return nil
}

// validate looks at what kind s3 needs.
func (s *Storage) validate() error {
	u, err := url.Parse(s.S3.Endpoint)
	switch {
	case s.Kind == "s3" && s.S3.Bucket == "":
		return errors.New("storage.s3.bucket: the bucket has no name")
	case s.S3.Endpoint != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https"):
		return fmt.Errorf("storage.s3.endpoint: %q is not a URL such as https://s3.example.com", s.S3.Endpoint)
	}
	return nil
}

// validateAddresses checks where to listen, and the lists of networks.
func (c *Config) validateAddresses() error {
	legacy := c.SSH.Legacy
	switch {
	case len(c.SSH.Listen) == 0:
		return errors.New("ssh.listen: want at least one address, such as 0.0.0.0:2222")
	case len(legacy.Listen) > 0 && len(legacy.Algorithms) == 0:
		return errors.New("ssh.legacy.algorithms: name what the old clients need, such as diffie-hellman-group14-sha1, or leave ssh.legacy.listen empty")
	case len(legacy.Listen) == 0 && len(legacy.Algorithms) > 0:
		return errors.New("ssh.legacy.listen: want an address of its own for the algorithms, or none of them")
	}
	for key, list := range map[string][]string{
		"ssh.listen": c.SSH.Listen, "ssh.legacy.listen": legacy.Listen, "http.listen": c.HTTP.Listen, "metrics.listen": c.Metrics.Listen,
	} {
		for _, addr := range list {
			_, port, err := net.SplitHostPort(addr)
			if n, perr := strconv.Atoi(port); err != nil || perr != nil || n < 0 || n > 65535 {
				return fmt.Errorf("%s: %q is not host:port", key, addr)
			}
		}
	}
	if _, err := Networks("ssh.balancers", c.SSH.Balancers); err != nil {
		return err
	}
	if _, err := Networks("http.balancers", c.HTTP.Balancers); err != nil {
		return err
	}
	_, err := Networks("limits.exempt", c.Limits.Exempt)
	return err
}

// Networks parses the addresses and networks of the key: 192.0.2.0/24, 192.0.2.1
// or 2001:db8::/48.
func Networks(key string, list []string) (networks []netip.Prefix, err error) {
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if ip, ierr := netip.ParseAddr(text); ierr == nil {
			p, err = ip.Unmap().Prefix(ip.Unmap().BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not a network: write it like 10.0.0.0/8", key, text)
		}
		networks = append(networks, p.Masked())
	}
	return networks, nil
}

// validateRanges checks every number against its smallest and largest value.
func (c *Config) validateRanges() error {
	const second, huge = int64(1e9), int64(1) << 62
	for _, r := range []struct {
		key           string
		value, lo, hi int64
		show          func(int64) string
	}{
		{"check.max_size", int64(c.Check.MaxSize), 1, huge, size},
		{"check.max_unpacked", int64(c.Check.MaxUnpacked), 1, huge, size},
		{"check.max_ratio", int64(c.Check.MaxRatio), 1, 1032, number},
		{"check.max_entries", c.Check.MaxEntries, 1, 100_000_000, number},
		{"check.max_members", c.Check.MaxMembers, 1, 100_000_000, number},
		{"storage.s3.lease", int64(c.Storage.S3.Lease), second, 3600 * second, span},
		{"storage.s3.memory", int64(c.Storage.S3.Memory), 16 << 20, huge, size},
		{"uploads.keep", int64(c.Uploads.Keep), 60 * second, huge, span},
		{"uploads.refused_keep", int64(c.Uploads.RefusedKeep), 60 * second, huge, span},
		{"uploads.checkpoint", int64(c.Uploads.Checkpoint), 1 << 20, 1 << 34, size},
		{"uploads.shutdown_grace", int64(c.Uploads.ShutdownGrace), 0, 86400 * second, span},
		{"uploads.handover_grace", int64(c.Uploads.HandoverGrace), 0, 7 * 86400 * second, span},
		{"audit.rotate_size", int64(c.Audit.RotateSize), 64 << 10, 1 << 40, size},
		{"webhook.max_events", int64(c.Webhook.MaxEvents), 1, 1_000_000, number},
		{"webhook.max_bytes", int64(c.Webhook.MaxBytes), 1 << 20, 1 << 40, size},
		{"webhook.give_up", int64(c.Webhook.GiveUp), 60 * second, huge, span},
		{"audit.keep", int64(c.Audit.Keep), 0, 1_000_000, number},
		{"limits.connections", int64(c.Limits.Connections), 1, 100_000, number},
		{"limits.connections_per_account", int64(c.Limits.ConnectionsPerAccount), 8, 100_000, number},
		{"limits.connections_per_source", int64(c.Limits.ConnectionsPerSource), 1, 100_000, number},
		{"limits.startups_per_source", int64(c.Limits.StartupsPerSource), 1, 100_000, number},
		{"limits.ipv4_prefix", int64(c.Limits.IPv4Prefix), 8, 32, number},
		{"limits.ipv6_prefix", int64(c.Limits.IPv6Prefix), 16, 128, number},
		{"limits.sessions", int64(c.Limits.Sessions), 10, 64, number},
		{"limits.open_handles", int64(c.Limits.OpenHandles), 8, 1024, number},
		{"limits.handles_per_account", int64(c.Limits.HandlesPerAccount), 8, 1_000_000, number},
		{"limits.auth_tries", int64(c.Limits.AuthTries), 1, 100, number},
		{"limits.password_hashes", int64(c.Limits.PasswordHashes), 0, 64, number},
		{"limits.handshake", int64(c.Limits.Handshake), second, 3600 * second, span},
		{"limits.key_exchange", int64(c.Limits.KeyExchange), second, 3600 * second, span},
		{"limits.stalled", int64(c.Limits.Stalled), second, 30 * 86400 * second, span},
		{"limits.session_idle", int64(c.Limits.SessionIdle), second, 365 * 86400 * second, span},
		{"limits.idle", int64(c.Limits.Idle), second, 86400 * second, span},
		{"limits.keep_alive", int64(c.Limits.KeepAlive), second, 3600 * second, span},
		{"limits.write_timeout", int64(c.Limits.WriteTimeout), second, 86400 * second, span},
		{"limits.command_time", int64(c.Limits.CommandTime), second, 30 * 86400 * second, span},
		{"limits.command_output", int64(c.Limits.CommandOutput), 1 << 10, huge, size},
		{"limits.memory", int64(c.Limits.Memory), 64 << 20, huge, size},
		{"limits.penalties.auth_fail", int64(c.Limits.Penalties.AuthFail), 0, 3600 * second, span},
		{"limits.penalties.invalid_user", int64(c.Limits.Penalties.InvalidUser), 0, 3600 * second, span},
		{"limits.penalties.no_auth", int64(c.Limits.Penalties.NoAuth), 0, 3600 * second, span},
		{"limits.penalties.grace_exceeded", int64(c.Limits.Penalties.GraceExceeded), 0, 3600 * second, span},
		{"limits.penalties.crash", int64(c.Limits.Penalties.Crash), 0, 3600 * second, span},
		{"limits.penalties.min", int64(c.Limits.Penalties.Min), 0, 86400 * second, span},
		{"limits.penalties.max", int64(c.Limits.Penalties.Max), max(second, int64(c.Limits.Penalties.Min)), 86400 * second, span},
		{"limits.penalties.sources", int64(c.Limits.Penalties.Sources), 1, 1_000_000, number},
	} {
		if r.value < r.lo || r.value > r.hi {
			return fmt.Errorf("%s: %s is out of range: want %s to %s", r.key, r.show(r.value), r.show(r.lo), r.show(r.hi))
		}
	}
	return nil
}

func size(n int64) string   { return Size(n).String() }
func span(n int64) string   { return Duration(n).String() }
func number(n int64) string { return strconv.FormatInt(n, 10) }

// ParseStartups splits Startups into its three numbers.
func (l *Limits) ParseStartups() (start, rate, full int, err error) {
	parts := strings.Split(l.Startups, ":")
	if len(parts) == 3 {
		var errs [3]error
		start, errs[0] = strconv.Atoi(parts[0])
		rate, errs[1] = strconv.Atoi(parts[1])
		full, errs[2] = strconv.Atoi(parts[2])
		if errors.Join(errs[:]...) == nil && start >= 1 && rate >= 1 && rate <= 100 && full >= start && full <= 100_000 {
			return start, rate, full, nil
		}
	}
	return 0, 0, 0, fmt.Errorf("limits.startups: %q is not start:rate:full: write it like 30:30:200", l.Startups)
}

// resolve makes relative paths relative to dir.
func (c *Config) resolve(dir string) {
	paths := []*string{&c.DataDir, &c.Accounts, &c.Storage.Disk.Root,
		&c.SSH.RevokedKeys, &c.Tokens.Key, &c.Tokens.Revoked, &c.Audit.File, &c.Webhook.SecretFile, &c.Webhook.Queue}
	for _, list := range [][]string{c.SSH.HostKeys, c.SSH.HostCertificates, c.SSH.TrustedUserCA, c.Tokens.Accept} {
		for i := range list {
			paths = append(paths, &list[i])
		}
	}
	for _, p := range []*string{&c.HTTP.Certificate, &c.HTTP.Key} {
		if *p != "" {
			paths = append(paths, p)
		}
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

// Mark tells one state of a file from another.
type Mark struct {
	size  int64
	mtime int64
	inode uint64
}

// Fingerprint is the file's Mark at this moment. A missing file has the zero Mark.
func Fingerprint(path string) (Mark, error) {
	i, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Mark{}, nil
	}
	if err != nil {
		return Mark{}, err
	}
	return Mark{size: i.Size(), mtime: i.ModTime().UnixNano(), inode: inode(i)}, nil
}

// inode tells a file from one that was renamed over it within a tick of the clock.
func inode(i fs.FileInfo) uint64 {
	if s, ok := i.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}
