package main

import (
	"log/slog"

	"bundleup/vfs"
)

// logEvents writes one line for each end of an upload and each download. A line has
// all that explains the transfer, so that no other one has to be found; "bundleup
// explain" puts the lines of one upload together.
func logEvents(log *slog.Logger) vfs.Events {
	return vfs.Events{
		Opened:   func(p vfs.Peer, u vfs.UploadID) { log.Debug("opened", uploadAttrs(p, u)...) },
		Accepted: func(p vfs.Peer, r *vfs.Receipt) { log.Info("accepted", receiptAttrs(p, r)...) },
		Refused: func(p vfs.Peer, r *vfs.Receipt) {
			log.Info("refused", append(receiptAttrs(p, r), "rule", string(r.Rejection.Rule), "offset", r.Rejection.Offset,
				"entry", r.Rejection.Entry, "reason", r.Rejection.Reason)...)
		},
		Suspended: func(p vfs.Peer, u vfs.UploadID, size int64, cause error) {
			attrs := append(uploadAttrs(p, u), "kept", size)
			if cause != nil {
				attrs = append(attrs, "err", cause)
			}
			log.Info("suspended", attrs...)
		},
		Resumed: func(p vfs.Peer, u vfs.UploadID, size int64) {
			log.Info("resumed", append(uploadAttrs(p, u), "kept", size)...)
		},
		Removed: func(p vfs.Peer, u vfs.UploadID) { log.Info("removed", uploadAttrs(p, u)...) },
		Retired: func(u vfs.UploadID) {
			log.Info("retired", "tenant", u.Tenant, "upload", u.ID, "name", u.Name)
		},
		Expired: func(u vfs.UploadID) {
			log.Info("expired", "tenant", u.Tenant, "upload", u.ID, "name", u.Name)
		},
		Read: func(p vfs.Peer, account, name string, bytes int64) {
			log.Info("read", "session", p.Session, "account", account, "name", name, "bytes", bytes)
		},
	}
}

func uploadAttrs(p vfs.Peer, u vfs.UploadID) []any {
	return []any{
		"session", p.Session, "account", u.Account, "tenant", u.Tenant, "upload", u.ID, "name", u.Name,
		"remote", p.Remote, "client", p.Client, "protocol", p.Protocol,
	}
}

// receiptAttrs tell of the connection that ended the upload; the receipt has the
// client that began it. A receipt that is repeated is the first one's: its seconds
// and rate are not this transfer's.
func receiptAttrs(p vfs.Peer, r *vfs.Receipt) []any {
	attrs := []any{
		"session", p.Session, "account", r.Account, "tenant", r.Tenant, "upload", r.ID, "name", r.Name,
		"remote", p.Remote, "client", p.Client, "protocol", p.Protocol, "verdict", string(r.Verdict),
		"stored_as", r.StoredAs, "size", r.Size, "unpacked", r.Unpacked, "entries", r.Entries, "members", r.Members,
		"sha256", r.SHA256, "resumes", r.Resumes, "repeated", r.Repeated, "without_close", r.CompletedWithoutClose,
	}
	if seconds := r.Finished.Sub(r.Started).Seconds(); !r.Repeated && seconds > 0 {
		// With the pauses between resumes, as the customer waited.
		attrs = append(attrs, "seconds", seconds, "rate", int64(float64(r.Size)/seconds))
	}
	return attrs
}
