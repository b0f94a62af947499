package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"bundleup/auth"
	"bundleup/vfs"
	"bundleup/vfs/store"
)

// TestOneLineForEachTransfer: whatever becomes of an upload, and of a download, stands
// on one line with all that explains it.
func TestOneLineForEachTransfer(t *testing.T) {
	var log, sound bytes.Buffer
	tree, err := vfs.NewTree(t.Context(), vfs.Config{
		Store: store.NewMemory(), Tenants: func() []auth.Tenant { return []auth.Tenant{"acme"} },
		Events: logEvents(slog.New(slog.NewJSONHandler(&log, nil))),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	if err := writeBundle(&sound, 50_000, 1); err != nil {
		t.Fatal(err)
	}
	peer := vfs.Peer{Session: "s1", Remote: "192.0.2.1:5", Client: "curl", Protocol: "http"}
	customer, err := tree.View(&auth.Account{Name: "acme", Role: auth.Customer, Tenant: "acme"}, peer)
	if err != nil {
		t.Fatal(err)
	}
	send := func(name string, data []byte) {
		u, err := customer.Create(t.Context(), name, vfs.Flags{Create: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.Write(data); err == nil {
			_, _ = u.Commit(t.Context()) // the line tells of its error
		}
	}
	who := []string{"session", "account", "tenant", "upload", "name", "remote", "client", "protocol"}
	verdict := slices.Concat(who, []string{"verdict", "size", "unpacked", "entries", "sha256", "resumes", "seconds"})
	for _, tt := range []struct {
		name string
		do   func()
		msg  string
		keys []string
	}{
		{"sound", func() { send("/a.tgz", sound.Bytes()) }, "accepted", append(verdict, "stored_as", "rate")},
		{"junk", func() { send("/junk.tgz", []byte(strings.Repeat("junk", 999))) }, "refused", append(verdict, "rule", "offset", "reason")},
		{"cut", func() { send("/cut.tgz", sound.Bytes()[:1000]) }, "suspended", append(who, "kept")},
		{"read", func() {
			support, err := tree.View(&auth.Account{Name: "desk", Role: auth.Support}, peer)
			if err != nil {
				t.Fatal(err)
			}
			f, err := support.Open(t.Context(), "/acme/a.tgz")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.ReadAt(make([]byte, 100), 0); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}, "read", []string{"session", "account", "name", "bytes"}},
	} {
		log.Reset()
		tt.do()
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		var fields map[string]any
		if len(lines) != 1 || json.Unmarshal([]byte(lines[0]), &fields) != nil || fields["msg"] != tt.msg {
			t.Errorf("%s: got %q, want one line %s", tt.name, lines, tt.msg)
			continue
		}
		for _, key := range tt.keys {
			if _, ok := fields[key]; !ok {
				t.Errorf("%s: %s is missing in %s", tt.name, key, lines[0])
			}
		}
	}
}
