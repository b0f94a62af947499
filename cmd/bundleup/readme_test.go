package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"bundleup/configs"
)

// The README's commands name a host, a port and a key that a reader has; here they
// are the script's daemon.
var readmeRewrites = []struct{ from, to string }{ // regular expressions
	{`https://support\.example\.com`, "$$WEB"},
	{`support\.example\.com:2222`, "127.0.0.1:PORTNUMBER"},
	{`support\.example\.com`, "127.0.0.1"},
	{`\b2222\b`, "PORTNUMBER"},
	// A first login asks whether the host key is the right one; a test cannot.
	{`\bsftp -b`, "sftp -o UserKnownHostsFile=known_hosts -o IdentitiesOnly=yes -b"},
	{`\bscp -`, "scp -o UserKnownHostsFile=known_hosts -o IdentitiesOnly=yes -"},
	{`\bssh -p`, "ssh -n -o UserKnownHostsFile=known_hosts -o IdentitiesOnly=yes -p"},
	{`\bssh -a`, "ssh -o UserKnownHostsFile=known_hosts -o IdentitiesOnly=yes -a"},
	{`\bpsftp -P`, `psftp -batch -hostkey "$$HOSTKEY" -P`},
	{`\bpscp -P`, `pscp -batch -hostkey "$$HOSTKEY" -P`},
	{`\bcurl --key`, "curl -sS -k --key"},
	{`\bcurl -u`, "curl -sS --fail-with-body -u"},
}

// TestReadme runs every command of the README, in its order, against a real daemon.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := strings.Builder{}
	script.WriteString("daemon start\nmkbundle diag.tgz 300000\nmkbundle big.tgz 300000\n")
	n := 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			n++
			command := strings.TrimSpace(line)
			for _, r := range readmeRewrites {
				command = regexp.MustCompile(r.from).ReplaceAllString(command, r.to)
			}
			if strings.Contains(command, "reput") {
				script.WriteString("exec sh -c 'head -c 100000 diag.tgz >cut.tgz; echo \"put cut.tgz big.tgz\" | sftp -F ssh_config -b - acme || true'\n")
			}
			if strings.Contains(command, "$TOKEN") {
				script.WriteString("exec bundleup token issue --config bundleup.yaml --tenant acme --case 8423\ncp stdout token.txt\nexec sleep 3\n")
				command = "TOKEN=$(awk '$1 == \"password:\" {print $2}' token.txt)\n" + command
			}
			if strings.Contains(command, "account add acme") {
				script.WriteString("mv accounts.yaml accounts.old\n")
			}
			file := fmt.Sprintf("readme%02d.sh", n)
			if err := os.WriteFile(filepath.Join(dir, file), []byte("set -e\nHOSTKEY=$(ssh-keygen -lf keys/ssh_host_ed25519_key.pub | cut -d' ' -f2)\n"+command+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&script, "# %s\nexec timeout 60 sh -c 'sed s/PORTNUMBER/$PORT/ %s/%s | sh'\n", strings.TrimSpace(line), dir, file)
		}
	}
	if n < 15 {
		t.Fatalf("only %d commands were found in the README", n)
	}
	for _, client := range []string{"sftp", "scp", "psftp", "pscp", "rclone", "lftp", "curl", "ssh-keygen"} {
		if _, err := exec.LookPath(client); err != nil && os.Getenv(requireClients) != "1" {
			t.Skipf("%s is not installed", client)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "readme.txtar"), []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	p := scriptParams(dir)
	testscript.Run(t, p)
}

// The README's table of keys is the configuration, key by key.
func TestReadmeNamesEveryKey(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9_.]+)` \\| (?:`([^`]*)`)? ?\\|").FindAllStringSubmatch(string(text), -1) {
		rows[m[1]] = m[2]
	}
	for key, want := range leaves("", reflect.ValueOf(configs.Default())) {
		got, ok := rows[key]
		if !ok || got != want {
			t.Errorf("%s: the README says %q (there: %v), the default is %q", key, got, ok, want)
		}
		delete(rows, key)
	}
	for key := range rows {
		t.Errorf("%s: the README has it, the configuration does not", key)
	}
}

// leaves are the values of a struct by their dotted keys.
func leaves(prefix string, v reflect.Value) map[string]string {
	all := map[string]string{}
	for i := range v.NumField() {
		key := prefix + v.Type().Field(i).Tag.Get("yaml")
		f := v.Field(i)
		switch {
		case f.Kind() == reflect.Struct:
			for k, s := range leaves(key+".", f) {
				all[k] = s
			}
		case f.Kind() == reflect.Slice:
			all[key] = strings.Trim(fmt.Sprint(f.Interface()), "[]")
		default:
			all[key] = fmt.Sprint(f.Interface())
		}
	}
	return all
}
