// Package vfs says what an account sees and may do: the two views, what a path
// means in them, and the life of an upload from open to its receipt.
//
// It guarantees that a bundle is visible only when it was found sound and is
// durable with its receipt, that nothing accepted is ever changed, and that what
// was received of an unfinished upload is kept for resume. It knows no protocol
// and no medium: sshd and httpd stand before it, store behind it.
package vfs
