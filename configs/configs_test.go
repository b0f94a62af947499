package configs

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// write puts text into a file of its own directory.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestManualIsDefault: bundleup.yaml says every key, and what Default says.
func TestManualIsDefault(t *testing.T) {
	got, err := Load("bundleup.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	data, err := os.ReadFile("bundleup.yaml")
	if err != nil {
		t.Fatal(err)
	}
	root, err := parse("bundleup.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	missingKeys(t, root, reflect.TypeFor[Config](), "")
}

func missingKeys(t *testing.T, n *yaml.Node, typ reflect.Type, key string) {
	t.Helper()
	for i := range typ.NumField() {
		name := tagName(typ.Field(i))
		value := child(n, name)
		if value == nil {
			t.Errorf("bundleup.yaml lacks %s", join(key, name))
		} else if typ.Field(i).Type.Kind() == reflect.Struct {
			missingKeys(t, value, typ.Field(i).Type, join(key, name))
		}
	}
}

func TestTagsAgree(t *testing.T) {
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			if f.Tag.Get("yaml") != f.Tag.Get("mapstructure") {
				t.Errorf("%s.%s: tags %q and %q", typ.Name(), f.Name, f.Tag.Get("yaml"), f.Tag.Get("mapstructure"))
			}
			if f.Type.Kind() == reflect.Struct {
				walk(f.Type)
			}
		}
	}
	walk(reflect.TypeFor[Config]())
}

func TestLoad(t *testing.T) {
	path := write(t, "b.yaml", "ssh: {listen: [\"0.0.0.0:22\", \"[::]:22\"], host_keys: [a, /b], trusted_user_ca: [ca.pub], revoked_keys: revoked}\ntokens: {key: k, accept: [/old.pub]}\naudit: {file: \"\"}\ndata_dir: /var\nstorage: {disk: {root: data}}\ncheck: {max_size: 1.5GiB}\nuploads: {keep: 2d}\n")
	t.Setenv("BUNDLEUP_LIMITS_IDLE", "90s")
	t.Setenv("BUNDLEUP_CHECK_MAX_RATIO", "300")
	t.Setenv("BUNDLEUP_UPLOADS_KEEP", "3d")
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	want := Default()
	want.SSH.Listen, want.SSH.HostKeys = []string{"0.0.0.0:22", "[::]:22"}, []string{filepath.Join(dir, "a"), "/b"}
	want.SSH.TrustedUserCA, want.SSH.RevokedKeys = []string{filepath.Join(dir, "ca.pub")}, filepath.Join(dir, "revoked")
	want.Tokens = Tokens{Key: filepath.Join(dir, "k"), Accept: []string{"/old.pub"}}
	want.Audit.File = ""
	want.DataDir, want.Accounts, want.Storage.Disk.Root = "/var", filepath.Join(dir, "accounts.yaml"), filepath.Join(dir, "data")
	want.Check.MaxSize, want.Check.MaxRatio = 3<<29, 300
	want.Uploads.Keep, want.Limits.Idle = Duration(3*day), seconds(90)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestLoadWithoutFile(t *testing.T) {
	t.Setenv("BUNDLEUP_SSH_LISTEN", "a:1,b:2")
	got, err := Load("")
	if err != nil || !reflect.DeepEqual(got.SSH.Listen, []string{"a:1", "b:2"}) || got.Accounts != "accounts.yaml" {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: got %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"ssh: {lissen: []}", ":1: ssh.lissen: unknown key: did you mean listen?"},
		{"log: {}\nzzzzzzzz: 1", ":2: zzzzzzzz: unknown key"},
		{"log: {}\nlog: {}", ":2: log: the key is there twice"},
		{"\n\ncheck: {max_size: plenty}", ":3: check.max_size: \"plenty\" is not a size: write it like 50GiB"},
		{"uploads:\n  keep: 15", ":2: uploads.keep: 15 is a number without a unit"},
		{"uploads: {keep: -5s}", "is not a duration"},
		{"uploads: {keep: 1s}", "uploads.keep: 1s is out of range"},
		{"limits: {connections: 1.5}", "is not a whole number"},
		{"limits: {connections: [1]}", "want one value"},
		{"limits: {startups: 5}", "start:rate:full"},
		{"limits: {password_hashes: 65}", "out of range"},
		{"limits: 5", "limits: want keys with values"},
		{"ssh: {listen: \"a:1\"}", "want a list"},
		{"ssh: {listen: []}", "at least one"},
		{"ssh: {listen: [nonsense]}", "ssh.listen: \"nonsense\" is not host:port"},
		{"storage: {kind: tape}", "storage.kind"},
		{"storage: {kind: s3}", "storage.s3.bucket"},
		{"storage: {s3: {endpoint: s3.example.com}}", "storage.s3.endpoint"},
		{"storage: {s3: {lease: 10ms}}", "storage.s3.lease"},
		{"storage: {s3: {secret: x}}", "storage.s3.secret: unknown key"},
		{"log: {level: loud}", "log.level"},
		{"log: &a {}\ncheck: *a", "aliases are not supported"},
		{"log: {", "not YAML"},
		{"- a", "want keys"},
		{"log: {}\n---\nlog: {}", "one YAML document"},
	} {
		_, err := Load(write(t, "b.yaml", c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, want one line with %q", c.text, err, c.want)
		}
	}
	for _, env := range [][2]string{{"UPLOADS_KEEP", "15"}, {"LIMITS_CONNECTIONS", "many"}, {"CHECK_MAX_SIZE", "plenty"}, {"SSH_LISTEN", "x"}} {
		t.Run(env[0], func(t *testing.T) {
			t.Setenv("BUNDLEUP_"+env[0], env[1])
			if _, err := Load(""); err == nil || !strings.HasPrefix(err.Error(), "environment: ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestUnits(t *testing.T) {
	for s, want := range map[string]Size{"0": 0, "7": 7, "1KiB": 1024, "1kB": 1000, "50GiB": 50 << 30, "1.5 MiB": 3 << 19, "2PB": 2e15, "9223372036854775807": 1<<63 - 1} {
		var got Size
		if err := got.UnmarshalText([]byte(s)); err != nil || got != want {
			t.Errorf("size %q: got %d, %v; want %d", s, got, err, want)
		}
		var back Size
		if err := back.UnmarshalText([]byte(got.String())); err != nil || back != got {
			t.Errorf("size %q: written %q, read %d, %v", s, got.String(), back, err)
		}
	}
	for _, s := range []string{"", "-1", "GiB", "1e3", "0x10", "NaN", "Inf", "9223372036854775808", "8192PiB", "1 G", "1_000"} {
		if got := new(Size); got.UnmarshalText([]byte(s)) == nil {
			t.Errorf("size %q was read as %d", s, *got)
		}
	}
	for s, want := range map[string]time.Duration{"0s": 0, "7d": 7 * day, "1m30s": 90 * time.Second, "72h": 72 * time.Hour, "10m": 10 * time.Minute, "1h10m": 70 * time.Minute} {
		var got, back Duration
		if err := got.UnmarshalText([]byte(s)); err != nil || time.Duration(got) != want {
			t.Errorf("duration %q: got %v, %v; want %v", s, got, err, want)
		}
		if err := back.UnmarshalText([]byte(got.String())); err != nil || back != got {
			t.Errorf("duration %q: written %q, read %v, %v", s, got.String(), back, err)
		}
	}
	for _, s := range []string{"", "5", "0", "-1s", "1.5d", "d", "200000000d", "1w", "-7d"} {
		if got := new(Duration); got.UnmarshalText([]byte(s)) == nil {
			t.Errorf("duration %q was read as %v", s, *got)
		}
	}
}

func TestFingerprint(t *testing.T) {
	path := write(t, "a", "1")
	first, err := Fingerprint(path)
	if err != nil || first == (Mark{}) {
		t.Fatalf("got %v, %v", first, err)
	}
	// Renamed over, with the same size and time: only the inode tells.
	other := write(t, "b", "2")
	now := time.Now()
	os.Chtimes(path, now, now)
	os.Chtimes(other, now, now)
	before, _ := Fingerprint(path)
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	if after, _ := Fingerprint(path); after == before {
		t.Error("a file that was renamed over another has its fingerprint")
	}
	if gone, err := Fingerprint(path + "x"); err != nil || gone != (Mark{}) {
		t.Errorf("a missing file: got %v, %v", gone, err)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add("ssh: {listen: [\"a:1\"]}\nuploads: {keep: 2d}")
	f.Add("check: &x {max_size: 1GiB}\nlimits: *x")
	f.Add("log:\n---\n")
	f.Fuzz(func(t *testing.T, s string) {
		path := write(t, "b.yaml", s)
		cfg, err := Load(path)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: an error of several lines: %v", s, err)
			}
			return
		}
		if err := cfg.Validate(); err != nil {
			t.Errorf("%q: loaded, but %v", s, err)
		}
	})
}
