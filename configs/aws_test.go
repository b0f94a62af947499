package configs

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// The AWS template is linted by cfn-lint, which knows resources and their properties.
// Here is what it does not look at: attributes that are keys and values of a list,
// ranges, what stands in strings, and what the daemon and its code must agree with.

// untag turns a node into plain values. !Ref x becomes {"Ref": x}, and so on.
func untag(t *testing.T, n *yaml.Node) any {
	t.Helper()
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		t.Fatalf("line %d: CloudFormation knows no aliases", n.Line)
	}
	var v any
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = untag(t, n.Content[i+1])
		}
		v = m
	case yaml.SequenceNode:
		list := []any{}
		for _, c := range n.Content {
			list = append(list, untag(t, c))
		}
		v = list
	default:
		v = n.Value
	}
	if tag := strings.TrimPrefix(n.Tag, "!"); tag != n.Tag && !strings.HasPrefix(tag, "!") {
		return map[string]any{tag: v}
	}
	return v
}

// template reads the template's resources and the rest of it.
func template(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile("aws/bundleup.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return untag(t, doc.Content[0]).(map[string]any)
}

// at follows keys and indices.
func at(v any, path ...any) any {
	for _, p := range path {
		switch key := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[key]
		case int:
			list, _ := v.([]any)
			if key >= len(list) {
				return nil
			}
			v = list[key]
		}
	}
	return v
}

// resources are the properties of all resources of a type, by name.
func resources(tpl map[string]any, kind string) map[string]any {
	found := map[string]any{}
	for name, r := range tpl["Resources"].(map[string]any) {
		if at(r, "Type") == kind {
			found[name] = at(r, "Properties")
		}
	}
	return found
}

// cases are the values that a value may have: both of an If.
func cases(v any) []string {
	if list, ok := at(v, "If").([]any); ok {
		return append(cases(list[1]), cases(list[2])...)
	}
	if at(v, "Ref") == "AWS::NoValue" {
		return nil
	}
	return []string{fmt.Sprint(v)}
}

func oneOf(values ...string) func(string) bool {
	return func(v string) bool { return slices.Contains(values, v) }
}

func between(low, high int) func(string) bool {
	return func(v string) bool {
		n, err := strconv.Atoi(v)
		return err == nil && n >= low && n <= high
	}
}

var boolean = oneOf("true", "false")

// awsAttributes are those of the reference of Elastic Load Balancing, version 2, for
// network load balancers: TargetGroupAttribute, ListenerAttribute and
// LoadBalancerAttribute.
var awsAttributes = map[string]map[string]func(string) bool{
	"TargetGroupAttributes": {
		"proxy_protocol_v2.enabled":                                                 boolean,
		"preserve_client_ip.enabled":                                                boolean,
		"deregistration_delay.timeout_seconds":                                      between(0, 3600),
		"deregistration_delay.connection_termination.enabled":                       boolean,
		"target_health_state.unhealthy.connection_termination.enabled":              boolean,
		"target_health_state.unhealthy.draining_interval_seconds":                   between(0, 360000),
		"stickiness.enabled":                                                        boolean,
		"stickiness.type":                                                           oneOf("source_ip"),
		"load_balancing.cross_zone.enabled":                                         oneOf("true", "false", "use_load_balancer_configuration"),
		"target_group_health.dns_failover.minimum_healthy_targets.count":            between(1, 1000),
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": between(1, 1000),
	},
	"ListenerAttributes": {"tcp.idle_timeout.seconds": between(60, 6000)},
	"LoadBalancerAttributes": {
		"load_balancing.cross_zone.enabled": boolean,
		"deletion_protection.enabled":       boolean,
		"access_logs.s3.enabled":            boolean,
	},
}

func TestAWSAttributes(t *testing.T) {
	tpl, n := template(t), 0
	for name, r := range tpl["Resources"].(map[string]any) {
		for list, known := range awsAttributes {
			attributes, _ := at(r, "Properties", list).([]any)
			for _, a := range attributes {
				key := at(a, "Key").(string)
				valid := known[key]
				if valid == nil {
					t.Errorf("%s: %s: there is no %q", name, list, key)
					continue
				}
				for _, v := range cases(at(a, "Value")) {
					n++
					if !valid(v) {
						t.Errorf("%s: %s: %s may not be %q", name, list, key, v)
					}
				}
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d attributes were found", n)
	}
}

// TestAWSClientAddress: a header and a preserved address exclude each other, and
// a health check over HTTP would begin with the header.
func TestAWSClientAddress(t *testing.T) {
	targets := at(template(t), "Resources", "SftpTargets", "Properties")
	values := map[string][]string{}
	for _, a := range at(targets, "TargetGroupAttributes").([]any) {
		values[at(a, "Key").(string)] = cases(at(a, "Value"))
	}
	for i, want := range []struct{ preserve, proxy, check string }{{"true", "false", "HTTP"}, {"false", "true", "TCP"}} {
		got := struct{ preserve, proxy, check string }{
			values["preserve_client_ip.enabled"][i], values["proxy_protocol_v2.enabled"][i], cases(at(targets, "HealthCheckProtocol"))[i],
		}
		if got != want {
			t.Errorf("case %d is %+v, want %+v", i, got, want)
		}
	}
}

func TestAWSRanges(t *testing.T) {
	tpl := template(t)
	check := func(what string, v any, valid func(string) bool) {
		t.Helper()
		for _, c := range cases(v) {
			if !valid(c) {
				t.Errorf("%s may not be %q", what, c)
			}
		}
	}
	for name, p := range resources(tpl, "AWS::ElasticLoadBalancingV2::TargetGroup") {
		check(name+" interval", at(p, "HealthCheckIntervalSeconds"), between(5, 300))
		check(name+" healthy", at(p, "HealthyThresholdCount"), between(2, 10))
		check(name+" unhealthy", at(p, "UnhealthyThresholdCount"), between(2, 10))
	}
	daemon := at(tpl, "Resources", "Task", "Properties", "ContainerDefinitions", 1)
	check("StopTimeout", at(daemon, "StopTimeout"), between(2, 120))
	check("Interval", at(daemon, "HealthCheck", "Interval"), between(5, 300))
	check("Timeout", at(daemon, "HealthCheck", "Timeout"), between(2, 60))
	check("Retries", at(daemon, "HealthCheck", "Retries"), between(1, 10))
	check("StartPeriod", at(daemon, "HealthCheck", "StartPeriod"), between(0, 300))
	stop, err := strconv.Atoi(fmt.Sprint(at(daemon, "StopTimeout")))
	grace, gerr := time.ParseDuration(environment(daemon)["BUNDLEUP_UPLOADS_SHUTDOWN_GRACE"])
	if err != nil || gerr != nil || grace >= time.Duration(stop)*time.Second {
		t.Errorf("uploads have a grace of %v (%v), the task stops after %d s (%v)", grace, gerr, stop, err)
	}
	check("session key", at(tpl, "Resources", "SessionKeySecret", "Properties", "GenerateSecretString", "PasswordLength"), oneOf("32"))
	if !strings.Contains(sources(t, "../httpd"), "const SessionKeySize = 32\n") {
		t.Error("httpd wants a session key of another length")
	}
	if hours := at(tpl, "Parameters", "SilenceHours", "MaxValue"); hours != "24" {
		t.Errorf("an alarm cannot look back for %v hours", hours)
	}
}

// environment is that of a container, the first of each If.
func environment(container any) map[string]string {
	env := map[string]string{}
	list, _ := at(container, "Environment").([]any)
	for _, e := range list {
		env[at(e, "Name").(string)] = cases(at(e, "Value"))[0]
	}
	return env
}

// sources is the code below the directories, without tests.
func sources(t *testing.T, dirs ...string) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// ownMetrics are those that metric filters make, by name.
func ownMetrics(t *testing.T, tpl map[string]any) map[string]bool {
	t.Helper()
	own := map[string]bool{}
	for name, p := range resources(tpl, "AWS::Logs::MetricFilter") {
		m := at(p, "MetricTransformations", 0)
		if at(m, "MetricNamespace", "Ref") != "AWS::StackName" {
			t.Errorf("%s: its namespace is not the stack's", name)
		}
		own[at(m, "MetricName").(string)] = true
	}
	return own
}

// TestAWSFilters looks for each message and key that a filter waits for in the code.
func TestAWSFilters(t *testing.T) {
	code := sources(t, "../cmd", "../sshd", "../httpd")
	for name, p := range resources(template(t), "AWS::Logs::MetricFilter") {
		pattern := at(p, "FilterPattern").(string)
		for _, m := range regexp.MustCompile(`\$\.msg = ("[^"]*")`).FindAllStringSubmatch(pattern, -1) {
			if !regexp.MustCompile(`\.(Info|Warn|Error)\(` + regexp.QuoteMeta(m[1])).MatchString(code) {
				t.Errorf("%s: nothing logs %s", name, m[1])
			}
		}
		value := at(p, "MetricTransformations", 0, "MetricValue").(string)
		for _, m := range regexp.MustCompile(`\$\.([a-z_]+)`).FindAllStringSubmatch(pattern+" "+value, -1) {
			if key := m[1]; key != "msg" && key != "level" && !strings.Contains(code, strconv.Quote(key)+", ") {
				t.Errorf("%s: nothing logs the key %q", name, key)
			}
		}
	}
}

// awsMetrics are those of AWS that alarms and the dashboard use.
var awsMetrics = map[string][]string{
	"AWS/NetworkELB":        {"ActiveFlowCount", "HealthyHostCount", "UnHealthyHostCount", "ProcessedBytes"},
	"AWS/ECS":               {"CPUUtilization", "MemoryUtilization"},
	"ECS/ContainerInsights": {"RunningTaskCount"},
}

func TestAWSMetrics(t *testing.T) {
	tpl := template(t)
	own := ownMetrics(t, tpl)
	check := func(where string, namespace, metric any) {
		t.Helper()
		name := fmt.Sprint(metric)
		if namespace == "${AWS::StackName}" || at(namespace, "Ref") == "AWS::StackName" {
			if !own[name] {
				t.Errorf("%s: no filter makes %s", where, name)
			}
			return
		}
		if !slices.Contains(awsMetrics[fmt.Sprint(namespace)], name) {
			t.Errorf("%s: there is no %v in %v", where, metric, namespace)
		}
	}
	for name, p := range resources(tpl, "AWS::CloudWatch::Alarm") {
		check(name, at(p, "Namespace"), at(p, "MetricName"))
	}
	queries := at(tpl, "Resources", "ScaleOnSessions", "Properties", "TargetTrackingScalingPolicyConfiguration", "CustomizedMetricSpecification", "Metrics").([]any)
	for _, q := range queries[:2] {
		check("ScaleOnSessions", at(q, "MetricStat", "Metric", "Namespace"), at(q, "MetricStat", "Metric", "MetricName"))
	}
	for _, row := range dashboard(t, tpl) {
		check("Dashboard", row[0], row[1])
	}
}

// dashboard is every metric of the dashboard, with "." replaced by what is above it.
func dashboard(t *testing.T, tpl map[string]any) (rows [][]any) {
	t.Helper()
	body := at(tpl, "Resources", "Dashboard", "Properties", "DashboardBody", "Sub").(string)
	var d struct {
		Widgets []struct {
			Type                string
			X, Y, Width, Height *int
			Properties          struct {
				Region, Query string
				Metrics       [][]any
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatalf("the dashboard is no JSON: %v", err)
	}
	for i, w := range d.Widgets {
		if w.X == nil || w.Y == nil || w.Width == nil || w.Height == nil || *w.X+*w.Width > 24 || w.Properties.Region == "" {
			t.Errorf("widget %d lacks a place, is too wide or has no region", i)
		}
		if (w.Type == "metric") != (len(w.Properties.Metrics) > 0) || (w.Type == "log") != (w.Properties.Query != "") {
			t.Errorf("widget %d of type %q shows nothing", i, w.Type)
		}
		var above []any
		for _, row := range w.Properties.Metrics {
			for c := range row {
				if row[c] == "." {
					row[c] = above[c]
				}
			}
			above = row
			rows = append(rows, row)
		}
	}
	if len(rows) < 8 {
		t.Errorf("the dashboard shows %d metrics", len(rows))
	}
	return rows
}

// awsActions are the permissions that each call of the S3 API takes, by the service
// authorization reference.
var awsActions = map[string][]string{
	"PutObject":               {"s3:PutObject", "kms:GenerateDataKey"},
	"CreateMultipartUpload":   {"s3:PutObject", "kms:GenerateDataKey"},
	"UploadPart":              {"s3:PutObject", "kms:Decrypt"},
	"UploadPartCopy":          {"s3:PutObject", "s3:GetObject", "kms:Decrypt"},
	"CompleteMultipartUpload": {"s3:PutObject"},
	"AbortMultipartUpload":    {"s3:AbortMultipartUpload"},
	"ListParts":               {"s3:ListMultipartUploadParts"},
	"ListMultipartUploads":    {"s3:ListBucketMultipartUploads"},
	"ListObjectsV2":           {"s3:ListBucket"},
	"GetObject":               {"s3:GetObject", "kms:Decrypt"},
	"HeadObject":              {"s3:GetObject"},
	"DeleteObject":            {"s3:DeleteObject"},
	"PutObjectTagging":        {"s3:PutObjectTagging"},
}

// neededActions are those of the calls in the code.
func neededActions(t *testing.T) map[string]string {
	t.Helper()
	needed := map[string]string{}
	for _, m := range regexp.MustCompile(`\.api\.(\w+)\(`).FindAllStringSubmatch(sources(t, "../vfs/store/s3"), -1) {
		if awsActions[m[1]] == nil {
			t.Errorf("what may call %s is not known here", m[1])
		}
		for _, a := range awsActions[m[1]] {
			needed[a] = m[1]
		}
	}
	if len(needed) < 6 {
		t.Errorf("only %d actions are found in the code", len(needed))
	}
	if strings.Contains(sources(t, "../cmd/bundleup"), "/task-protection/v1/state") {
		needed["ecs:UpdateTaskProtection"] = "task protection"
	}
	return needed
}

func TestAWSActions(t *testing.T) {
	tpl, needed := template(t), neededActions(t)
	got := map[string]bool{}
	for _, policy := range at(tpl, "Resources", "TaskRole", "Properties", "Policies").([]any) {
		for _, s := range at(policy, "PolicyDocument", "Statement").([]any) {
			if at(s, "Effect") != "Allow" || at(s, "Resource") == "*" {
				t.Errorf("a task may do %v to %v", at(s, "Action"), at(s, "Resource"))
			}
			actions, ok := at(s, "Action").([]any)
			if !ok {
				actions = []any{at(s, "Action")}
			}
			for _, a := range actions {
				got[a.(string)] = true
			}
		}
	}
	for a := range got {
		if needed[a] == "" {
			t.Errorf("a task may %s, which the code does not call", a)
		}
	}
	for a, why := range needed {
		if !got[a] {
			t.Errorf("a task may not %s: %s", a, why)
		}
	}
}

// deleted is what each call that deletes in the code may have as its key. A call that
// is not in here has to be looked at.
var deleted = map[string][]string{
	"context.WithoutCancel(ctx), key": {"probe/"},
	"ctx, pendingKey(st.Name, st.ID)": {"pending/"},
	"ctx, st.Target":                  {"uploads/", "bundles/"},
	"ctx, own":                        {"uploads/"},
	"ctx, old":                        {"uploads/"},
	"ctx, o.key":                      {"uploads/", "records/"},
	"ctx, bundleKey(key)":             {"bundles/"},
	"ctx, recordKey(key, name)":       {"records/"},
}

// TestAWSDeletes: what a task may delete is where the code deletes, and nowhere else.
func TestAWSDeletes(t *testing.T) {
	want := map[string]bool{}
	for _, m := range regexp.MustCompile(`\bs\.delete\((.*)\)(?:; err|\n| //)`).FindAllStringSubmatch(sources(t, "../vfs/store/s3"), -1) {
		prefixes := deleted[m[1]]
		if prefixes == nil {
			t.Errorf("where delete(%s) deletes is not known here", m[1])
		}
		for _, p := range prefixes {
			want[p] = true
		}
	}
	got := map[string]bool{}
	for _, s := range at(template(t), "Resources", "TaskRole", "Properties", "Policies", 0, "PolicyDocument", "Statement").([]any) {
		if at(s, "Action") != "s3:DeleteObject" {
			continue
		}
		for _, r := range at(s, "Resource").([]any) {
			sub, _ := at(r, "Sub").(string)
			if list, ok := at(r, "If").([]any); ok {
				sub, _ = at(list[1], "Sub").(string)
			}
			got[strings.TrimSuffix(strings.TrimPrefix(sub, "${Bucket.Arn}/"), "*")] = true
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("a task may delete below %v, the code deletes below %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

func TestAWSParameters(t *testing.T) {
	tpl := template(t)
	for name, p := range tpl["Parameters"].(map[string]any) {
		must := slices.Contains([]string{"Image", "HostKey", "Accounts"}, name)
		if has := at(p, "Default") != nil; has == must {
			t.Errorf("%s: a default: %v, must be given: %v", name, has, must)
		}
		if at(p, "Description") == nil {
			t.Errorf("%s is not described", name)
		}
	}
	for _, name := range []string{"HostKey", "Accounts"} {
		if at(tpl, "Parameters", name, "NoEcho") != "true" {
			t.Errorf("%s would be shown", name)
		}
	}
	if got := at(tpl, "Outputs", "Sftp", "Value", "Sub", 0); got != "sftp -P 22 ACCOUNT@${Host}" {
		t.Errorf("the output says %v", got)
	}
}

// keysOf are the variables of the environment that the configuration knows.
func keysOf(t reflect.Type, prefix string, add func(string)) {
	if t.Kind() != reflect.Struct {
		add(prefix)
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		keysOf(f.Type, prefix+"_"+strings.ToUpper(f.Tag.Get("yaml")), add)
	}
}

// TestEnvironment: what the template and the image set is read by somebody.
func TestEnvironment(t *testing.T) {
	known := map[string]bool{}
	keysOf(reflect.TypeFor[Config](), "BUNDLEUP", func(k string) { known[k] = true })
	set := environment(at(template(t), "Resources", "Task", "Properties", "ContainerDefinitions", 1))
	image, err := os.ReadFile("container/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(BUNDLEUP_[A-Z_0-9]+)=(\S+)`).FindAllStringSubmatch(string(image), -1) {
		set[m[1]] = m[2]
	}
	if len(set) < 12 {
		t.Errorf("only %d variables are set", len(set))
	}
	for name := range set {
		if !known[name] {
			t.Errorf("%s is set, and no key of the configuration has it", name)
		}
	}
}

// TestPackageConfig: what the Debian package installs loads, and its sockets are
// those that the configuration names.
func TestPackageConfig(t *testing.T) {
	cfg, err := Load("debian/bundleup.yaml")
	if err != nil {
		t.Fatal(err)
	}
	unit, err := os.ReadFile("systemd/bundleup.socket")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^ListenStream=(.*)$`).FindAllStringSubmatch(string(unit), -1) {
		if !slices.Contains(cfg.SSH.Listen, "[::]:"+m[1]) {
			t.Errorf("bundleup.socket listens on %s, ssh.listen is %v", m[1], cfg.SSH.Listen)
		}
	}
	for key, path := range map[string]string{"data_dir": cfg.DataDir, "audit.file": cfg.Audit.File, "storage.disk.root": cfg.Storage.Disk.Root} {
		if !strings.HasPrefix(path, "/var/lib/bundleup") {
			t.Errorf("%s is %s, where the unit may not write", key, path)
		}
	}
}
