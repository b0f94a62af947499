package main

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// stopSlack is what the daemon may take beside the grace: peers read why they are
// cut off, states are saved.
const stopSlack = time.Minute

// manager is the service manager that started the daemon, see sd_notify(3). The
// zero value is none.
type manager struct{ socket string }

// upgradable is what postinst looks for: a daemon that does not say it is ended by
// SIGUSR2.
const upgradable = "serving, SIGUSR2 starts a newer one"

// ready says that the daemon accepts connections.
func (m manager) ready() error { return m.say("READY=1\nSTATUS=" + upgradable) }

// replacedBy says that another process is the service from now on.
func (m manager) replacedBy(pid int) error {
	return m.say(fmt.Sprintf("MAINPID=%d\nSTATUS=%s", pid, upgradable))
}

// stopping says that the daemon ends, and asks for the time that running uploads may
// take, whatever the unit grants.
func (m manager) stopping(grace time.Duration) error {
	return m.say(fmt.Sprintf("STOPPING=1\nSTATUS=running uploads go on\nEXTEND_TIMEOUT_USEC=%d", (grace + stopSlack).Microseconds()))
}

func (m manager) say(state string) error {
	if m.socket == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	_, err = c.Write([]byte(state))
	if err = errors.Join(err, c.Close()); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}

// tell logs what the service manager could not be told: it does not matter to peers.
func (d *daemon) tell(err error) {
	if err != nil {
		d.log.Error("service manager", "err", err)
	}
}
