// Package bundle says what a sound bundle is: a gzip file (RFC 1952) of one
// tar archive (POSIX.1-2017 pax, ustar, v7, GNU, star) that is whole, keeps
// its checksums and is safe to unpack.
//
// Check is fed the compressed bytes as they arrive and refuses the stream on
// the byte that shows it is not sound. It starts no goroutine, and its state
// can be saved between any two writes and restored in another process. The
// verdict is a function of the bytes alone: it does not depend on how they
// were cut into writes, nor on saves in between.
//
// The package knows nothing of uploads, tenants or files on disk. It does not
// unpack anything, and it does not judge what is inside the archived files.
package bundle
