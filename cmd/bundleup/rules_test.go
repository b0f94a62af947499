package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"bundleup/configs"
	"bundleup/httpd"
)

const (
	rulesDir      = "../../configs/prometheus"
	dashboardFile = "../../configs/grafana/bundleup.json"
)

// promtool runs Prometheus's own tool, or skips where it is not installed.
func promtool(t *testing.T, in string, args ...string) string {
	t.Helper()
	needClients(t, "promtool")
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestRules runs the rules' own tests.
func TestRules(t *testing.T) {
	t.Parallel()
	promtool(t, "", "check", "rules", filepath.Join(rulesDir, "rules.yml"))
	for _, name := range []string{"rules_test.yml", "rules_days_test.yml"} {
		promtool(t, "", "test", "rules", filepath.Join(rulesDir, name))
	}
}

// rule is one of rules.yml.
type rule struct {
	Record, Alert, Expr string
	Annotations         map[string]string
}

func readRules(t *testing.T) (list []rule) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(rulesDir, "rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct{ Rules []rule }
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		list = append(list, g.Rules...)
	}
	if len(list) < 20 {
		t.Fatalf("only %d rules were found", len(list))
	}
	return list
}

// dashboardExprs are the expressions of the dashboard, as Grafana would send them.
func dashboardExprs(t *testing.T) (exprs []string) {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$__interval", "1m", "$instance", ".*")
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			exprs = append(exprs, variables.Replace(target.Expr))
		}
	}
	if len(exprs) < 30 {
		t.Fatalf("only %d expressions were found in the dashboard", len(exprs))
	}
	return exprs
}

// scrape is what a running daemon and a canary answer, after one of each kind of
// event that makes a series.
func scrape(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := writeServerConfig(dir, "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Load(filepath.Join(dir, "bundleup.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDaemon(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	sendJunk(t, d.web.doors[0].Addr().String())
	canary := httpd.NewCanaryMetrics()
	canary.Succeeded(time.Now(), time.Second)
	server := httptest.NewServer(canary.Handler())
	defer server.Close()
	return fetch(t, "http://"+d.web.opss[0].Addr().String()+"/metrics") + fetch(t, server.URL+"/metrics")
}

// sendJunk makes a series of the refusals.
func sendJunk(t *testing.T, addr string) {
	t.Helper()
	putHTTP(t, "http://"+addr+"/bundles/junk.tgz", strings.NewReader("this is no bundle"), http.StatusUnprocessableEntity)
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	if _, err := io.Copy(&text, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	return text.String()
}

// series are metrics with the labels and values that each has.
type series map[string]map[string]map[string]bool

var (
	sampleLine = regexp.MustCompile(`(?m)^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? \S+$`)
	labelPair  = regexp.MustCompile(`([a-z_]+)(=~|!=|!~|=)"((?:[^"\\]|\\.)*)"`)
	// metricUse is a metric's name in an expression, with its matchers.
	metricUse = regexp.MustCompile(`\b((?:bundleup|process|go)[_:][a-zA-Z0-9_:]+)\b(?:\{([^}]*)\})?`)
)

func parseSeries(text string) series {
	s := series{}
	for _, m := range sampleLine.FindAllStringSubmatch(text, -1) {
		if s[m[1]] == nil {
			s[m[1]] = map[string]map[string]bool{}
		}
		for _, l := range labelPair.FindAllStringSubmatch(m[2], -1) {
			if s[m[1]][l[1]] == nil {
				s[m[1]][l[1]] = map[string]bool{}
			}
			s[m[1]][l[1]][l[3]] = true
		}
	}
	return s
}

// missing says what an expression asks for and no series has.
func (s series) missing(expr string, recorded map[string]bool) (list []string) {
	for _, m := range metricUse.FindAllStringSubmatch(expr, -1) {
		if recorded[m[1]] {
			continue
		}
		labels, ok := s[m[1]]
		if !ok {
			list = append(list, "metric "+m[1])
			continue
		}
		for _, l := range labelPair.FindAllStringSubmatch(m[2], -1) {
			if l[1] == "instance" || l[1] == "job" { // the scrape's own
				continue
			}
			list = append(list, lacking(m[1], labels[l[1]], l)...)
		}
	}
	return list
}

// lacking says which values of a matcher no series has. A pattern is taken for a list
// of values.
func lacking(metric string, values map[string]bool, matcher []string) (list []string) {
	want := []string{matcher[3]}
	if strings.HasSuffix(matcher[2], "~") {
		want = strings.Split(matcher[3], "|")
	}
	for _, v := range want {
		if !values[v] {
			list = append(list, fmt.Sprintf("%s{%s=%q}: there are %v", metric, matcher[1], v, slices.Sorted(maps.Keys(values))))
		}
	}
	return list
}

// optional metrics depend on the configuration: the certificate's end on TLS.
const optionalMetric = "# TYPE bundleup_certificate_not_after_timestamp_seconds gauge\nbundleup_certificate_not_after_timestamp_seconds 1\n"

// TestRulesAndDashboardAskForRealMetrics holds every expression against what a
// running daemon answers, label by label.
func TestRulesAndDashboardAskForRealMetrics(t *testing.T) {
	t.Parallel()
	text := scrape(t)
	have := parseSeries(text + optionalMetric)
	recorded := map[string]bool{}
	rules := readRules(t)
	exprs := dashboardExprs(t)
	for _, r := range rules {
		recorded[r.Record] = true
		exprs = append(exprs, r.Expr)
	}
	used := map[string]bool{}
	for _, expr := range exprs {
		for _, m := range have.missing(expr, recorded) {
			t.Errorf("%s: there is no %s", strings.TrimSpace(expr), m)
		}
		for _, m := range metricUse.FindAllStringSubmatch(expr, -1) {
			used[m[1]] = true
		}
	}
	for name := range recorded {
		if name != "" && !used[name] {
			t.Errorf("%s is recorded and nothing asks for it", name)
		}
	}
	promtool(t, text, "check", "metrics")
}

// TestMissingMetricsAreFound: a test that cannot fail proves nothing.
func TestMissingMetricsAreFound(t *testing.T) {
	have := parseSeries("bundleup_a_total{result=\"ok\"} 1\nbundleup_b 2\n")
	recorded := map[string]bool{"bundleup:r:rate5m": true}
	for expr, want := range map[string]int{
		`rate(bundleup_a_total{result="ok"}[5m]) / bundleup:r:rate5m + bundleup_b`: 0,
		`bundleup_a_total{instance="x"}`:                                           0,
		`bundleup_c`:                                                               1,
		`bundleup:r:rate6m`:                                                        1,
		`bundleup_a_total{result="bad"}`:                                           1,
		`bundleup_a_total{result=~"ok|bad"}`:                                       1,
		`bundleup_a_total{outcome="ok"} / bundleup_c`:                              2,
	} {
		if got := have.missing(expr, recorded); len(got) != want {
			t.Errorf("%s: got %q, want %d", expr, got, want)
		}
	}
}

// TestDashboardExpressions: they are PromQL.
func TestDashboardExpressions(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	file.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for i, expr := range dashboardExprs(t) {
		fmt.Fprintf(&file, "      - {record: \"dashboard:expr:%d\", expr: %q}\n", i, expr)
	}
	name := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(name, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "check", "rules", name)
}

// TestRunbook: each alert has a section that says what it means, what to look at and
// what to do, and each section has an alert.
func TestRunbook(t *testing.T) {
	text, err := os.ReadFile("../../docs/RUNBOOK.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, s := range regexp.MustCompile(`(?m)^### `).Split(string(text), -1)[1:] {
		title, body, _ := strings.Cut(s, "\n")
		sections[title] = body
	}
	for _, r := range readRules(t) {
		if r.Alert == "" {
			continue
		}
		body, ok := sections[r.Alert]
		for _, part := range []string{"**Means:**", "**Look at:**", "**Do:**"} {
			if !strings.Contains(body, part) {
				t.Errorf("docs/RUNBOOK.md: %s (there: %v) lacks %s", r.Alert, ok, part)
			}
		}
		if want := "docs/RUNBOOK.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want {
			t.Errorf("%s: the runbook is %q, want %q", r.Alert, r.Annotations["runbook"], want)
		}
		delete(sections, r.Alert)
	}
	for title := range sections {
		t.Errorf("docs/RUNBOOK.md: there is no alert %s", title)
	}
}
