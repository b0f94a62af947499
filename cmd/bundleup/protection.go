package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Protection of a task of Amazon ECS from scale-in and from deployments while
// uploads run: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
const (
	protectionPoll = 10 * time.Second
	// protectionLasts is what is asked for, in minutes; it is renewed after half
	// of it, and over by itself where the task hangs.
	protectionLasts = 20
	protectionWait  = 5 * time.Second
)

// protection asks the task's agent to leave the task alone.
type protection struct {
	agent string // URL of the agent
	busy  func() bool
	log   func(msg string, err error)

	protected bool
	asked     time.Time
	failing   bool // told once
}

// protection keeps the task that this daemon is from being stopped while uploads run.
func (d *daemon) protection(agent string) *protection {
	return &protection{
		agent: agent,
		busy:  func() bool { return d.tree.Stats().Running > 0 },
		log:   func(msg string, err error) { d.log.Error(msg, "err", err) },
	}
}

// run asks until ctx is done. A task that stops needs no protection any more: the
// agent has decided.
func (p *protection) run(ctx context.Context) {
	tick := time.NewTicker(protectionPoll)
	defer tick.Stop()
	for {
		p.step(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// step asks for what is due at the time now.
func (p *protection) step(ctx context.Context, now time.Time) {
	busy := p.busy()
	renew := busy && now.Sub(p.asked) >= protectionLasts*time.Minute/2
	if busy == p.protected && !renew {
		return
	}
	err := p.ask(ctx, busy)
	switch {
	case err == nil:
		p.protected, p.asked, p.failing = busy, now, false
	case !p.failing && ctx.Err() == nil:
		p.failing = true
		p.log("task cannot be protected while uploads run", err)
	}
}

func (p *protection) ask(ctx context.Context, on bool) error {
	ctx, cancel := context.WithTimeout(ctx, protectionWait)
	defer cancel()
	body := `{"ProtectionEnabled":false}`
	if on {
		body = fmt.Sprintf(`{"ProtectionEnabled":true,"ExpiresInMinutes":%d}`, protectionLasts)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, p.agent+"/task-protection/v1/state", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	if err != nil {
		return err
	}
	// The agent answers some refusals with 200 and without the protection.
	var got struct {
		Protection *struct{ ProtectionEnabled bool } `json:"protection"`
	}
	if json.Unmarshal(text, &got) != nil || got.Protection == nil || got.Protection.ProtectionEnabled != on {
		return fmt.Errorf("%s: %.200q", answer.Status, text)
	}
	return nil
}
