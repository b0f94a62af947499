package main

import (
	"strings"
	"time"

	"bundleup/auth"
	"bundleup/auth/audit"
	"bundleup/sshd"
	"bundleup/vfs"
)

// auditUploads puts what happens to uploads and bundles into the trail.
func auditUploads(record func(audit.Event)) vfs.Events {
	return vfs.Events{
		Opened:   func(p vfs.Peer, u vfs.UploadID) { record(uploadEvent(audit.Opened, p, u)) },
		Accepted: func(p vfs.Peer, r *vfs.Receipt) { record(verdictEvent(p, r)) },
		Refused:  func(p vfs.Peer, r *vfs.Receipt) { record(verdictEvent(p, r)) },
		Suspended: func(p vfs.Peer, u vfs.UploadID, size int64, _ error) {
			e := uploadEvent(audit.Suspended, p, u)
			e.Bytes = size
			record(e)
		},
		Resumed: func(p vfs.Peer, u vfs.UploadID, size int64) {
			e := uploadEvent(audit.Resumed, p, u)
			e.Bytes = size
			record(e)
		},
		Removed: func(p vfs.Peer, u vfs.UploadID) { record(uploadEvent(audit.Removed, p, u)) },
		Retired: func(u vfs.UploadID) { record(uploadEvent(audit.Retired, vfs.Peer{}, u)) },
		Expired: func(u vfs.UploadID) { record(uploadEvent(audit.Expired, vfs.Peer{}, u)) },
		Read:    func(p vfs.Peer, account, name string, bytes int64) { record(readEvent(p, account, name, bytes)) },
	}
}

func uploadEvent(t audit.Type, p vfs.Peer, u vfs.UploadID) audit.Event {
	return audit.Event{
		Type: t, Session: p.Session, Remote: p.Remote, Client: p.Client, Protocol: p.Protocol,
		Account: u.Account, Tenant: u.Tenant, Upload: u.ID, Name: u.Name,
	}
}

func verdictEvent(p vfs.Peer, r *vfs.Receipt) audit.Event {
	e := audit.Event{
		Type: audit.Verdict, Session: p.Session, Remote: p.Remote, Client: p.Client, Protocol: p.Protocol,
		Account: r.Account, Tenant: r.Tenant, Upload: r.ID, Name: r.Name, Verdict: string(r.Verdict), Size: r.Size, SHA256: r.SHA256,
	}
	if r.StoredAs != r.Name {
		e.StoredAs = r.StoredAs
	}
	if r.Rejection != nil {
		e.Rule, e.Entry = string(r.Rejection.Rule), r.Rejection.Entry
	}
	if r.Repeated {
		e.Detail = "the same bytes had been accepted before"
	}
	return e
}

// readEvent tells a bundle from a file inside one by the path.
func readEvent(p vfs.Peer, account, name string, bytes int64) audit.Event {
	tenant, rest, _ := strings.Cut(name, "/")
	e := audit.Event{
		Type: audit.Download, Session: p.Session, Remote: p.Remote, Client: p.Client, Protocol: p.Protocol,
		Account: account, Tenant: tenant, Name: rest, Bytes: bytes,
	}
	if bundle, entry, ok := vfs.CutBundle(rest); ok {
		e.Type, e.Name, e.Entry = audit.EntryRead, bundle, entry
	}
	return e
}

// auditLogins puts logins into the trail: a connection that got in is one line, and
// so is one that tried and did not. Clients offer one key after another, so a try
// that fails says little.
func auditLogins(record func(audit.Event)) sshd.Events {
	return sshd.Events{
		LoggedIn: func(c sshd.Conn, method string) {
			e := loginEvent(audit.Login, c)
			e.Account, e.Tenant, e.Credential, e.Method = c.Account, c.Tenant, c.Credential, method
			record(e)
		},
		Closed: func(c sshd.Conn, _ time.Duration) {
			if c.Account == "" && c.Failed > 0 {
				e := loginEvent(audit.Refused, c)
				e.Account, e.Method = c.User, c.Tried
				record(e)
			}
		},
	}
}

// loginEvent counts the tries that failed.
func loginEvent(t audit.Type, c sshd.Conn) audit.Event {
	return audit.Event{Type: t, Session: c.Session, Remote: c.Remote, Client: c.Client, Count: int64(c.Failed)}
}

// auditHTTPLogins puts logins over HTTP into the trail.
func auditHTTPLogins(record func(audit.Event)) func(vfs.Peer, *auth.Account) {
	return func(p vfs.Peer, a *auth.Account) {
		e := audit.Event{
			Type: audit.Login, Session: p.Session, Remote: p.Remote, Client: p.Client, Protocol: p.Protocol,
			Account: a.Name, Tenant: string(a.Tenant), Method: "password",
		}
		if a.Token != (auth.TokenID{}) {
			e.Credential = "token " + a.Token.String()
		}
		record(e)
	}
}

// auditRefusals puts logins over HTTP that failed into the trail.
func auditRefusals(record func(audit.Event)) func(remote, user string) {
	return func(remote, user string) {
		record(audit.Event{Type: audit.Refused, Remote: remote, Account: user, Method: "password", Protocol: "http", Count: 1})
	}
}
