package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"bundleup/vfs/store/s3"
)

// TestTellGuarantees: an operator reads which guarantee is missing and what that
// costs; what several daemons need is an error.
func TestTellGuarantees(t *testing.T) {
	all := s3.Guarantees{Create: true, Replace: true, Read: true, CRC32C: true, MD5: true, List: true, Uploads: true}
	for _, tc := range []struct {
		change func(*s3.Guarantees)
		want   string // the only line with a NO
		err    error
	}{
		{func(*s3.Guarantees) {}, "", nil},
		{func(g *s3.Guarantees) { g.Create = false }, "NO   a put with If-None-Match fails where an object is: two daemons could claim one name", s3.ErrOneNode},
		{func(g *s3.Guarantees) { g.Replace = false }, "NO   a put with If-Match fails where the object has changed: a daemon taken for dead could go on writing", s3.ErrOneNode},
		{func(g *s3.Guarantees) { g.Read = false }, "NO   a get with If-Match fails where the object has changed: a replaced index could be read half and half", nil},
		{func(g *s3.Guarantees) { g.CRC32C = false }, "", nil},
		{func(g *s3.Guarantees) { g.CRC32C, g.MD5 = false, false }, "NO   the digest of a body is verified (neither CRC32C nor MD5): errors on the way go unnoticed", nil},
		{func(g *s3.Guarantees) { g.Uploads = false }, "NO   multipart uploads can be listed: abandoned ones stay: set a lifecycle rule", nil},
	} {
		g := all
		tc.change(&g)
		var out bytes.Buffer
		cmd := &cobra.Command{}
		cmd.SetOut(&out)
		if err := tellGuarantees(cmd, g); !errors.Is(err, tc.err) {
			t.Errorf("%+v: %v, want %v", g, err, tc.err)
		}
		var missing []string
		for line := range strings.Lines(out.String()) {
			if strings.HasPrefix(line, "NO") {
				missing = append(missing, strings.TrimSpace(line))
			}
		}
		if got := strings.Join(missing, "\n"); got != tc.want {
			t.Errorf("%+v: got %q, want %q", g, got, tc.want)
		}
		if both := strings.Contains(out.String(), "several daemons may share this storage"); both != (tc.err == nil) {
			t.Errorf("%+v: %s", g, &out)
		}
	}
}
