//go:build peers

package main

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/pprof"
	"testing"

	"bundleup/configs"
)

var (
	profileFile   = flag.String("profile.out", "", "where the CPU profile of the daemon goes")
	profileRounds = flag.Int("profile.rounds", 5, "uploads in the profile")
	profileCorpus = flag.String("profile.corpus", "logs", "corpus that is uploaded")
	profileScp    = flag.Bool("profile.scp", false, "upload over legacy scp instead of SFTP")
	profileCipher = flag.String("profile.cipher", "", "cipher to pin; empty: what is negotiated")
)

// TestProfile runs the daemon inside the test, so that the profile holds nothing
// but the server, and uploads one corpus with OpenSSH's client.
func TestProfile(t *testing.T) {
	if *profileFile == "" {
		t.Skip("give -profile.out, or use make profile")
	}
	dir := t.TempDir()
	if err := writeServerConfig(dir, "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Load(filepath.Join(dir, "bundleup.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tuneMemory(cfg)
	d, err := newDaemon(context.Background(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx) }()
	client := scriptDaemon{dir: dir, addr: d.listeners[0].Addr().String()}
	if err := client.writeClientConfig(); err != nil {
		t.Fatal(err)
	}
	c := &contender{dir: dir, putHost: "acme", target: "/up.tgz", stored: filepath.Join(dir, "data", "bundles", "acme", "up.tgz")}
	corpus := corpusFile(t, *peersDir, *profileCorpus)
	out, err := os.Create(*profileFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := pprof.StartCPUProfile(out); err != nil {
		t.Fatal(err)
	}
	for range *profileRounds {
		c.put(t, corpus, transfer{scp: *profileScp, cipher: *profileCipher})
		c.forget(t)
	}
	pprof.StopCPUProfile()
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
