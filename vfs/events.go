package vfs

// Events are functions that are told what happens, for logs, metrics and the
// audit trail. They are called on the goroutine of the peer's request and must
// be quick. A nil function is skipped.
type Events struct {
	// Opened is called when the first byte of a new upload came.
	Opened func(p Peer, u UploadID)
	// Accepted is called after the bundle is durable.
	Accepted func(Peer, *Receipt)
	// Refused is called when a rejection showed and the bytes are gone.
	Refused func(Peer, *Receipt)
	// Suspended is called when an upload ended unfinished with size bytes
	// kept; cause may be nil.
	Suspended func(p Peer, u UploadID, size int64, cause error)
	// Resumed is called when an upload continues behind size kept bytes.
	Resumed func(p Peer, u UploadID, size int64)
	// Removed is called when a client removed an unfinished upload.
	Removed func(p Peer, u UploadID)
	// Expired is called when the janitor forgot an unfinished upload.
	Expired func(u UploadID)
	// Retired is called when the janitor removed a bundle whose tenant's
	// retention is over.
	Retired func(u UploadID)
	// Read is called when a support account closes a file: bytes counts what
	// was handed out, with repetitions.
	Read func(p Peer, account, name string, bytes int64)
}

// Tee tells both e and f of everything, e first.
func (e Events) Tee(f Events) Events {
	return Events{
		Opened:   func(p Peer, u UploadID) { e.opened(p, u); f.opened(p, u) },
		Accepted: func(p Peer, r *Receipt) { e.accepted(p, r); f.accepted(p, r) },
		Refused:  func(p Peer, r *Receipt) { e.refused(p, r); f.refused(p, r) },
		Suspended: func(p Peer, u UploadID, n int64, cause error) {
			e.suspended(p, u, n, cause)
			f.suspended(p, u, n, cause)
		},
		Resumed: func(p Peer, u UploadID, n int64) { e.resumed(p, u, n); f.resumed(p, u, n) },
		Removed: func(p Peer, u UploadID) { e.removed(p, u); f.removed(p, u) },
		Expired: func(u UploadID) { e.expired(u); f.expired(u) },
		Retired: func(u UploadID) { e.retired(u); f.retired(u) },
		Read:    func(p Peer, account, name string, n int64) { e.read(p, account, name, n); f.read(p, account, name, n) },
	}
}

// UploadID says which upload an event is about.
type UploadID struct {
	ID      string
	Tenant  string
	Account string
	Name    string
}

func (e *Events) opened(p Peer, u UploadID) {
	if e.Opened != nil {
		e.Opened(p, u)
	}
}

func (e *Events) accepted(p Peer, r *Receipt) {
	if e.Accepted != nil {
		e.Accepted(p, r)
	}
}

func (e *Events) refused(p Peer, r *Receipt) {
	if e.Refused != nil {
		e.Refused(p, r)
	}
}

func (e *Events) suspended(p Peer, u UploadID, size int64, cause error) {
	if e.Suspended != nil {
		e.Suspended(p, u, size, cause)
	}
}

func (e *Events) resumed(p Peer, u UploadID, size int64) {
	if e.Resumed != nil {
		e.Resumed(p, u, size)
	}
}

func (e *Events) removed(p Peer, u UploadID) {
	if e.Removed != nil {
		e.Removed(p, u)
	}
}

func (e *Events) expired(u UploadID) {
	if e.Expired != nil {
		e.Expired(u)
	}
}

func (e *Events) retired(u UploadID) {
	if e.Retired != nil {
		e.Retired(u)
	}
}

func (e *Events) read(p Peer, account, name string, bytes int64) {
	if e.Read != nil {
		e.Read(p, account, name, bytes)
	}
}
