package scp

import (
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		from, command string
		want          []string
	}{
		{"OpenSSH", "scp -t .", []string{"-t", "."}},
		{"OpenSSH, verbose", "scp -v -t /up/x.tgz", []string{"-v", "-t", "/up/x.tgz"}},
		{"OpenSSH, blanks", "scp -v -t /up/my file.tgz", []string{"-v", "-t", "/up/my file.tgz"}},
		{"OpenSSH, two blanks", "scp -t my  file.tgz", []string{"-t", "my  file.tgz"}},
		{"OpenSSH, dash", "scp -t -- -x.tgz", []string{"-t", "--", "-x.tgz"}},
		{"OpenSSH, all flags", "scp -v -r -p -d -t case", []string{"-v", "-r", "-p", "-d", "-t", "case"}},
		{"OpenSSH, apostrophe", "scp -t it's.tgz", []string{"-t", "it's.tgz"}},
		{"OpenSSH, apostrophes that close are quotes", "scp -t it's o'clock.tgz", []string{"-t", "its oclock.tgz"}},
		{"a person's backslash", `scp -t my\ file.tgz`, []string{"-t", "my file.tgz"}},
		{"a person's quotes", `scp -t "my file.tgz"`, []string{"-t", "my file.tgz"}},
		{"quotes that do not cover all", `scp -t 'my' file.tgz`, []string{"-t", "'my' file.tgz"}},
		{"libssh2", "scp -t '/x.tgz'", []string{"-t", "/x.tgz"}},
		{"libssh2, times", "scp -pt '/x.tgz'", []string{"-pt", "/x.tgz"}},
		{"libssh2, apostrophe", `scp -t 'it'"'"'s.tgz'`, []string{"-t", "it's.tgz"}},
		{"Go libraries", `scp -qt "/up/x \"1\".tgz"`, []string{"-qt", `/up/x "1".tgz`}},
		{"double quotes keep a backslash", `scp -t "a\b.tgz"`, []string{"-t", `a\b.tgz`}},
		{"an empty path", "scp -t ''", []string{"-t", ""}},
		{"no path", "scp -t", []string{"-t"}},
		{"no path, blank", "scp -t ", []string{"-t"}},
		{"source", "scp -f /acme/x.tgz", []string{"-f", "/acme/x.tgz"}},
		{"source, times", "scp -pf '/acme/x.tgz'", []string{"-pf", "/acme/x.tgz"}},
		{"source, several", `scp -f a.tgz my\ file.tgz "b c"`, []string{"-f", "a.tgz", "my file.tgz", "b c"}},
		{"source, open quote", "scp -f it's here.tgz", []string{"-f", "it's here.tgz"}},
		{"source, open backslash", `scp -f a b\`, []string{"-f", `a b\`}},
		{"source, open double quote", `scp -f a "b`, []string{"-f", `a "b`}},
		{"whole path", "/usr/bin/scp -t x.tgz", []string{"-t", "x.tgz"}},
		{"blanks everywhere", "  scp \t -t   x.tgz  ", []string{"-t", "x.tgz"}},
		{"no shell", "scp -t x.tgz; reboot", []string{"-t", "x.tgz; reboot"}},
		{"no expansion", "scp -t $HOME/x.tgz", []string{"-t", "$HOME/x.tgz"}},
		{"alone", "scp", nil},
	} {
		t.Run(tt.from, func(t *testing.T) {
			got, ok := Split(tt.command)
			if !ok || !slices.Equal(got, tt.want) {
				t.Errorf("%q: got %q %v, want %q", tt.command, got, ok, tt.want)
			}
		})
	}
}

func TestSplitOtherCommands(t *testing.T) {
	for _, command := range []string{"", " ", "scpx -t a", "sftp", "'scp' -t a", "bin/scp -t a", "echo scp", "/usr/bin/pscp -t a", "SCP -t a"} {
		if args, ok := Split(command); ok {
			t.Errorf("%q: got %q, want not scp", command, args)
		}
	}
}

// A path in a shell's single quotes comes back as it was, and no command line
// is too odd to cut.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"x.tgz", "my file.tgz", "it's", `a\b "c"`, "-x", "$(reboot)", "a\x00\n", "'\"\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		quoted := "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		for _, flag := range []string{"-t", "-f"} {
			args, ok := Split("scp " + flag + " " + quoted)
			if !ok || len(args) != 2 || args[1] != s {
				t.Errorf("scp %s %s: got %q, want %q", flag, quoted, args, s)
			}
			if args, ok = Split("scp " + flag + " -- " + s); !ok || flag == "-t" && len(args) > 3 {
				t.Errorf("scp %s -- %s: got %q %v", flag, s, args, ok)
			}
		}
		args, _ := Split(s)
		parse(args)
	})
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string // "" is no error
	}{
		{[]string{"-vrpdt", "x"}, ""},
		{[]string{"-f", "a", "b"}, ""},
		{[]string{"-t"}, ""},
		{[]string{"-f"}, "no file is named"},
		{[]string{"-t", "a", "b"}, "ambiguous target"},
		{[]string{"-S", "-t", "a"}, "unknown option -S"},
		{[]string{"--help"}, "unknown option --"},
		{[]string{"a", "-t"}, "only the far end"},
		{append([]string{"-f"}, make([]string, maxPaths+1)...), "at most 1024 paths"},
	} {
		_, err := parse(tt.args)
		if got := errorText(err); got != tt.want && (tt.want == "" || !strings.Contains(got, tt.want)) {
			t.Errorf("%.60q: got %q, want %q", tt.args, got, tt.want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return explained("", err)
}
