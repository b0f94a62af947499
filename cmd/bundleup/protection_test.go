package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestProtection(t *testing.T) {
	var asked []string
	status, refuse := http.StatusOK, false
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.Path+" "+string(body))
		w.WriteHeader(status)
		switch {
		case refuse:
			io.WriteString(w, `{"failure":{"Arn":"task","Reason":"DEPLOYMENT_BLOCKED"}}`)
		case status == http.StatusOK:
			fmt.Fprintf(w, `{"protection":{"ProtectionEnabled":%v,"TaskArn":"task"}}`, strings.Contains(string(body), "true"))
		}
	}))
	defer agent.Close()
	const (
		on  = `PUT /api/task-protection/v1/state {"ProtectionEnabled":true,"ExpiresInMinutes":20}`
		off = `PUT /api/task-protection/v1/state {"ProtectionEnabled":false}`
	)
	const refused = 0 // the status is 200 nevertheless
	busy, told := false, 0
	p := &protection{agent: agent.URL + "/api", busy: func() bool { return busy }, log: func(string, error) { told++ }}
	now := time.Unix(1e9, 0)
	for _, tt := range []struct {
		name   string
		after  time.Duration
		busy   bool
		status int
		want   []string
		told   int
	}{
		{"idle", 0, false, 200, nil, 0},
		{"an upload begins, the agent fails", time.Second, true, 500, []string{on}, 1},
		{"it fails again, which is not told again", time.Second, true, 500, []string{on}, 1},
		{"a deployment is in the way", time.Second, true, refused, []string{on}, 1},
		{"it works", time.Second, true, 200, []string{on}, 1},
		{"still busy", time.Minute, true, 200, nil, 1},
		{"half of the time is over", 9 * time.Minute, true, 200, []string{on}, 1},
		{"the last upload ends", time.Second, false, 200, []string{off}, 1},
		{"idle again", time.Hour, false, 200, nil, 1},
		{"a later failure is told", time.Second, true, 400, []string{on}, 2},
	} {
		now = now.Add(tt.after)
		busy, status, asked = tt.busy, tt.status, nil
		refuse = tt.status == refused
		if refuse {
			status = http.StatusOK
		}
		p.step(t.Context(), now)
		if !slices.Equal(asked, tt.want) || told != tt.told {
			t.Errorf("%s: asked %q, told %d times, want %q and %d", tt.name, asked, told, tt.want, tt.told)
		}
	}
}
