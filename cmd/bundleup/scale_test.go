package main

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"bundleup/auth"
)

// writeManyAccounts writes an accounts file with a key of its own for every account.
func writeManyAccounts(tb testing.TB, n int) string {
	tb.Helper()
	var s strings.Builder
	s.WriteString("tenants:\n")
	for i := range (n + 9) / 10 {
		fmt.Fprintf(&s, "  - {name: tenant-%d, quota: 500GiB}\n", i)
	}
	s.WriteString("accounts:\n")
	seed := make([]byte, ed25519.SeedSize)
	for i := range n {
		seed[0], seed[1], seed[2] = byte(i), byte(i>>8), byte(i>>16)
		key, err := ssh.NewPublicKey(ed25519.NewKeyFromSeed(seed).Public())
		if err != nil {
			tb.Fatal(err)
		}
		line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
		fmt.Fprintf(&s, "  - name: account-%d\n    role: customer\n    tenant: tenant-%d\n    keys:\n      - %s account-%d@host\n", i, i/10, line, i)
	}
	path := filepath.Join(tb.TempDir(), "accounts.yaml")
	if err := os.WriteFile(path, []byte(s.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// liveBytes is what is reachable.
func liveBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkLoadDirectory is 100,000 accounts, from the file to a Directory; live-MB
// is what it costs for as long as it is in force, total-MB what loading allocates.
func BenchmarkLoadDirectory(b *testing.B) {
	path := writeManyAccounts(b, 100_000)
	before := liveBytes()
	var d *auth.Directory
	var err error
	b.ReportAllocs()
	for b.Loop() {
		if d, err = loadDirectory(path); err != nil || d.Len() != 100_000 {
			b.Fatal(d, err)
		}
	}
	b.ReportMetric(float64(liveBytes()-before)/1e6, "live-MB")
	runtime.KeepAlive(d)
}

// BenchmarkLogin is the look-up of a login among few and among many accounts: the
// two take the same.
func BenchmarkLogin(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d, err := loadDirectory(writeManyAccounts(b, n))
			if err != nil {
				b.Fatal(err)
			}
			r, err := auth.NewRegistry(d, 1)
			if err != nil {
				b.Fatal(err)
			}
			key := d.Account("account-77").Keys[0]
			for b.Loop() {
				if _, err := r.PublicKey("account-77", key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestTenThousandAccounts: a large file is read whole and right, and so are the
// memory's bounds: less than 2 KB for an account.
func TestTenThousandAccounts(t *testing.T) {
	const n = 10_000
	path := writeManyAccounts(t, n)
	before := liveBytes()
	d, err := loadDirectory(path)
	if err != nil || d.Len() != n || len(d.Tenants()) != n/10 {
		t.Fatal(d, err)
	}
	if each := (liveBytes() - before) / n; each > 2000 {
		t.Errorf("an account costs %d bytes, want less than 2000", each)
	}
	a := d.Account("account-9999")
	if a == nil || a.Tenant != "tenant-999" || len(a.Keys) != 1 {
		t.Errorf("the last account is %+v", a)
	}
}
