// Package configs is the configuration and the accounts file as plain data: keys,
// defaults, units, what is wrong and in which line. It knows nothing of what the
// values do, and no other package knows YAML.
//
// It is the only importer of viper, which lays the environment over the file, and
// of viper's YAML library, for line numbers and for edits that keep comments.
package configs

import (
	"cmp"
	"path/filepath"
)

// Config is all that an operator can set. Default gives every value; bundleup.yaml
// in this directory says the same in its own words, and a test holds them equal.
type Config struct {
	SSH SSH `yaml:"ssh" mapstructure:"ssh"`
	// DataDir holds what the daemon makes for itself, such as host keys.
	DataDir string `yaml:"data_dir" mapstructure:"data_dir"`
	// Accounts is the accounts file.
	Accounts string  `yaml:"accounts" mapstructure:"accounts"`
	Tokens   Tokens  `yaml:"tokens" mapstructure:"tokens"`
	Audit    Audit   `yaml:"audit" mapstructure:"audit"`
	Storage  Storage `yaml:"storage" mapstructure:"storage"`
	Check    Check   `yaml:"check" mapstructure:"check"`
	Uploads  Uploads `yaml:"uploads" mapstructure:"uploads"`
	Limits   Limits  `yaml:"limits" mapstructure:"limits"`
	HTTP     HTTP    `yaml:"http" mapstructure:"http"`
	Metrics  Metrics `yaml:"metrics" mapstructure:"metrics"`
	Webhook  Webhook `yaml:"webhook" mapstructure:"webhook"`
	Log      Log     `yaml:"log" mapstructure:"log"`
}

// SSH is the first front door.
type SSH struct {
	// Listen are the addresses to listen on, host:port each.
	Listen []string `yaml:"listen" mapstructure:"listen"`
	// HostKeys are private key files, at most one of each type. Empty: three
	// are made at the first start, in keys below DataDir.
	HostKeys []string `yaml:"host_keys" mapstructure:"host_keys"`
	// HostCertificates are -cert.pub files for some of the host keys.
	HostCertificates []string `yaml:"host_certificates" mapstructure:"host_certificates"`
	// TrustedUserCA are files of public keys, a line each, that sign user
	// certificates.
	TrustedUserCA []string `yaml:"trusted_user_ca" mapstructure:"trusted_user_ca"`
	// RevokedKeys is a file of keys and certificates that are refused; empty:
	// none are. One that cannot be read is an error.
	RevokedKeys string `yaml:"revoked_keys" mapstructure:"revoked_keys"`
	// Balancers are networks whose connections begin with a PROXY protocol
	// header, version 2.
	Balancers []string `yaml:"balancers" mapstructure:"balancers"`
	Legacy    Legacy   `yaml:"legacy" mapstructure:"legacy"`
}

// Legacy is a second set of addresses for appliances that cannot do better. See
// sshd.LegacyAlgorithms.
type Legacy struct {
	Listen     []string `yaml:"listen" mapstructure:"listen"`
	Algorithms []string `yaml:"algorithms" mapstructure:"algorithms"`
}

// Tokens are the upload tokens. Paths that are empty are below DataDir.
type Tokens struct {
	// Key is the private key that token issue signs with, and makes: its
	// public half is beside it, in Key + ".pub". Empty: keys/token_ed25519.
	Key string `yaml:"key" mapstructure:"key"`
	// Accept are files of further public keys, whose tokens are let in.
	Accept []string `yaml:"accept" mapstructure:"accept"`
	// Revoked is the file that token revoke writes. Empty: revoked_tokens.
	Revoked string `yaml:"revoked" mapstructure:"revoked"`
}

// Audit is the trail of who did what.
type Audit struct {
	// File is the trail; empty: none is kept.
	File       string `yaml:"file" mapstructure:"file"`
	RotateSize Size   `yaml:"rotate_size" mapstructure:"rotate_size"`
	Keep       int    `yaml:"keep" mapstructure:"keep"` // older files; 0: all
	Log        bool   `yaml:"log" mapstructure:"log"`   // each line to the log as well
}

// KeyFile is Key, or its default below dataDir.
func (t *Tokens) KeyFile(dataDir string) string {
	return cmp.Or(t.Key, filepath.Join(dataDir, "keys", "token_ed25519"))
}

// RevokedFile is Revoked, or its default below dataDir.
func (t *Tokens) RevokedFile(dataDir string) string {
	return cmp.Or(t.Revoked, filepath.Join(dataDir, "revoked_tokens"))
}

// Storage is where bundles are kept.
type Storage struct {
	Kind string `yaml:"kind" mapstructure:"kind"` // disk, s3
	Disk Disk   `yaml:"disk" mapstructure:"disk"`
	S3   S3     `yaml:"s3" mapstructure:"s3"`
}

// S3 is the storage of kind s3. Credentials are not here: they come from where the
// AWS tools look for them, the environment first.
type S3 struct {
	Bucket     string   `yaml:"bucket" mapstructure:"bucket"`
	Prefix     string   `yaml:"prefix" mapstructure:"prefix"`           // before every key
	Region     string   `yaml:"region" mapstructure:"region"`           // empty: the environment tells
	Endpoint   string   `yaml:"endpoint" mapstructure:"endpoint"`       // URL; empty: AWS
	PathStyle  bool     `yaml:"path_style" mapstructure:"path_style"`   // the bucket in the path
	SingleNode bool     `yaml:"single_node" mapstructure:"single_node"` // no other daemon uses it
	Lease      Duration `yaml:"lease" mapstructure:"lease"`             // until a dead daemon's uploads are free
	Memory     Size     `yaml:"memory" mapstructure:"memory"`           // of parts and reads together
}

// Disk is the storage of kind disk.
type Disk struct {
	Root    string `yaml:"root" mapstructure:"root"`       // one directory for everything
	Reserve Size   `yaml:"reserve" mapstructure:"reserve"` // free space that uploads leave alone
}

// Check bounds what a bundle may be. See bundle.Limits.
type Check struct {
	MaxSize     Size  `yaml:"max_size" mapstructure:"max_size"`
	MaxUnpacked Size  `yaml:"max_unpacked" mapstructure:"max_unpacked"`
	MaxRatio    int   `yaml:"max_ratio" mapstructure:"max_ratio"`
	MaxEntries  int64 `yaml:"max_entries" mapstructure:"max_entries"`
	MaxMembers  int64 `yaml:"max_members" mapstructure:"max_members"`
}

// Uploads says how long what is kept.
type Uploads struct {
	Keep          Duration `yaml:"keep" mapstructure:"keep"`                     // an unfinished upload
	RefusedKeep   Duration `yaml:"refused_keep" mapstructure:"refused_keep"`     // the receipt of a refusal
	Checkpoint    Size     `yaml:"checkpoint" mapstructure:"checkpoint"`         // received between two saved states
	ShutdownGrace Duration `yaml:"shutdown_grace" mapstructure:"shutdown_grace"` // for running uploads at SIGTERM
	HandoverGrace Duration `yaml:"handover_grace" mapstructure:"handover_grace"` // for running uploads at SIGUSR2, while a new daemon serves
}

// Limits bound what peers may hold. See sshd.Limits.
type Limits struct {
	Connections           int      `yaml:"connections" mapstructure:"connections"`
	ConnectionsPerAccount int      `yaml:"connections_per_account" mapstructure:"connections_per_account"`
	ConnectionsPerSource  int      `yaml:"connections_per_source" mapstructure:"connections_per_source"`
	Startups              string   `yaml:"startups" mapstructure:"startups"` // start:rate:full, as OpenSSH's MaxStartups
	StartupsPerSource     int      `yaml:"startups_per_source" mapstructure:"startups_per_source"`
	IPv4Prefix            int      `yaml:"ipv4_prefix" mapstructure:"ipv4_prefix"` // how much of an address is one source
	IPv6Prefix            int      `yaml:"ipv6_prefix" mapstructure:"ipv6_prefix"`
	Exempt                []string `yaml:"exempt" mapstructure:"exempt"`     // networks without limits and penalties per source
	Sessions              int      `yaml:"sessions" mapstructure:"sessions"` // per connection
	OpenHandles           int      `yaml:"open_handles" mapstructure:"open_handles"`
	HandlesPerAccount     int      `yaml:"handles_per_account" mapstructure:"handles_per_account"`
	AuthTries             int      `yaml:"auth_tries" mapstructure:"auth_tries"`
	PasswordHashes        int      `yaml:"password_hashes" mapstructure:"password_hashes"` // computed at once; 0: half the cores, at least 1
	Handshake             Duration `yaml:"handshake" mapstructure:"handshake"`
	KeyExchange           Duration `yaml:"key_exchange" mapstructure:"key_exchange"`
	Idle                  Duration `yaml:"idle" mapstructure:"idle"`
	Stalled               Duration `yaml:"stalled" mapstructure:"stalled"`
	SessionIdle           Duration `yaml:"session_idle" mapstructure:"session_idle"`
	KeepAlive             Duration `yaml:"keep_alive" mapstructure:"keep_alive"`
	WriteTimeout          Duration `yaml:"write_timeout" mapstructure:"write_timeout"`
	// CommandTime and CommandOutput bound one command of ssh HOST COMMAND, such as
	// grep.
	CommandTime   Duration  `yaml:"command_time" mapstructure:"command_time"`
	CommandOutput Size      `yaml:"command_output" mapstructure:"command_output"`
	Penalties     Penalties `yaml:"penalties" mapstructure:"penalties"`
	// Memory is what the daemon's heap, stacks and tables are held to: a goal,
	// not a wall. Near it more CPU goes into collecting garbage.
	Memory Size `yaml:"memory" mapstructure:"memory"`
}

// Penalties shut out sources that do not log in. See sshd.Penalties.
type Penalties struct {
	AuthFail      Duration `yaml:"auth_fail" mapstructure:"auth_fail"`
	InvalidUser   Duration `yaml:"invalid_user" mapstructure:"invalid_user"`
	NoAuth        Duration `yaml:"no_auth" mapstructure:"no_auth"`
	GraceExceeded Duration `yaml:"grace_exceeded" mapstructure:"grace_exceeded"`
	Crash         Duration `yaml:"crash" mapstructure:"crash"`
	Min           Duration `yaml:"min" mapstructure:"min"`
	Max           Duration `yaml:"max" mapstructure:"max"`
	Sources       int      `yaml:"sources" mapstructure:"sources"` // remembered
}

// HTTP is the second front door.
type HTTP struct {
	// Listen are the addresses to listen on, host:port each. Empty: no HTTP.
	Listen []string `yaml:"listen" mapstructure:"listen"`
	// Certificate and Key are PEM files, read anew when they change.
	Certificate string `yaml:"certificate" mapstructure:"certificate"`
	Key         string `yaml:"key" mapstructure:"key"`
	// Plain allows HTTP without a certificate on more than loopback: behind a
	// balancer that has one.
	Plain bool `yaml:"plain" mapstructure:"plain"`
	// Balancers are networks whose X-Forwarded-For header names the client.
	Balancers []string `yaml:"balancers" mapstructure:"balancers"`
}

// Metrics is the operator's door: /metrics, /healthz, /readyz, without a login.
type Metrics struct {
	// Listen are the addresses to listen on, host:port each. Empty: none.
	Listen []string `yaml:"listen" mapstructure:"listen"`
}

// Webhook tells a receiver of what is accepted and refused.
type Webhook struct {
	URL        string   `yaml:"url" mapstructure:"url"`                 // empty: none
	SecretFile string   `yaml:"secret_file" mapstructure:"secret_file"` // signs; a secret a line
	Source     string   `yaml:"source" mapstructure:"source"`           // the events' attribute
	Queue      string   `yaml:"queue" mapstructure:"queue"`             // empty: webhooks below DataDir
	MaxEvents  int      `yaml:"max_events" mapstructure:"max_events"`   // that may wait
	MaxBytes   Size     `yaml:"max_bytes" mapstructure:"max_bytes"`     // of all that wait
	GiveUp     Duration `yaml:"give_up" mapstructure:"give_up"`         // age of an event
}

// QueueDir is Queue, or its default below dataDir.
func (w *Webhook) QueueDir(dataDir string) string {
	return cmp.Or(w.Queue, filepath.Join(dataDir, "webhooks"))
}

// Log is what the daemon says to its operator.
type Log struct {
	Level  string `yaml:"level" mapstructure:"level"`   // debug, info, warn, error
	Format string `yaml:"format" mapstructure:"format"` // auto, json, tint
}

// Default is the configuration of an empty file.
func Default() Config {
	return Config{
		SSH: SSH{
			Listen: []string{"127.0.0.1:2222"}, HostKeys: []string{}, HostCertificates: []string{}, TrustedUserCA: []string{},
			Balancers: []string{}, Legacy: Legacy{Listen: []string{}, Algorithms: []string{}},
		},
		DataDir:  ".",
		Accounts: "accounts.yaml",
		Tokens:   Tokens{Accept: []string{}},
		Audit:    Audit{File: "audit/audit.jsonl", RotateSize: 64 << 20},
		Storage:  Storage{Kind: "disk", Disk: Disk{Root: "data", Reserve: 256 << 20}, S3: S3{Lease: seconds(20), Memory: 128 << 20}},
		Check:    Check{MaxSize: 5 << 40, MaxUnpacked: 16 << 40, MaxRatio: 200, MaxEntries: 1_000_000, MaxMembers: 65_536},
		Uploads: Uploads{
			Keep: Duration(7 * day), RefusedKeep: Duration(90 * day), Checkpoint: 64 << 20,
			ShutdownGrace: seconds(30), HandoverGrace: Duration(day),
		},
		Limits: Limits{
			Connections: 1024, ConnectionsPerAccount: 64, ConnectionsPerSource: 128, Startups: "30:30:200",
			StartupsPerSource: 20, IPv4Prefix: 32, IPv6Prefix: 64, Exempt: []string{},
			Sessions: 16, OpenHandles: 64, HandlesPerAccount: 512, AuthTries: 10,
			Handshake: seconds(60), KeyExchange: seconds(20), Idle: seconds(300), Stalled: seconds(1800),
			SessionIdle: Duration(day), KeepAlive: seconds(30), WriteTimeout: seconds(120),
			CommandTime: seconds(3600), CommandOutput: 1 << 40, Memory: 320 << 20,
			Penalties: Penalties{
				AuthFail: seconds(5), InvalidUser: seconds(5), NoAuth: seconds(1), GraceExceeded: seconds(10), Crash: seconds(90),
				Min: seconds(15), Max: seconds(600), Sources: 65_536,
			},
		},
		HTTP: HTTP{Listen: []string{}, Balancers: []string{}}, Metrics: Metrics{Listen: []string{}},
		Webhook: Webhook{Source: "bundleup", MaxEvents: 10_000, MaxBytes: 64 << 20, GiveUp: Duration(3 * day)},
		Log:     Log{Level: "info", Format: "auto"},
	}
}

func seconds(n int64) Duration { return Duration(n * 1e9) }
