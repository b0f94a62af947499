package sshd

import (
	"slices"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/cpu"
)

// A server cannot choose: the client's order of ciphers wins (RFC 4253, 7.1),
// and OpenSSH's begins with chacha20-poly1305 and aes128-ctr, the dearest on a
// CPU with AES: see the ciphers in docs/BENCHMARKS.md. To offer nothing but
// AES-GCM would bring every OpenSSH since 6.2 to it, and shut out paramiko 2,
// JSch, libssh2 1.10, and whoever has configured "Ciphers aes256-ctr". To leave
// out chacha20 alone takes the fast cipher from clients on CPUs without AES. So
// everything is offered, but to an OpenSSH client that has just said that it has
// AES-GCM, see overhear, nothing but that.

// gcm are the ciphers for CPUs with AES.
var gcm = []string{ssh.CipherAES128GCM, ssh.CipherAES256GCM}

// offerFor says which of our ciphers are offered to a client that has theirs;
// nil theirs means that nobody knows.
func offerFor(ours, theirs []string, fast bool) []string {
	var both []string
	for _, name := range ours {
		if fast && slices.Contains(gcm, name) && slices.Contains(theirs, name) {
			both = append(both, name)
		}
	}
	if len(both) > 0 {
		return both
	}
	return ours
}

// hasAES reports whether this CPU computes AES-GCM in hardware. Without, AES is
// slower than chacha20, and the client's order stands.
func hasAES() bool {
	return cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ || cpu.ARM64.HasAES && cpu.ARM64.HasPMULL ||
		cpu.S390X.HasAES && cpu.S390X.HasAESGCM
}
