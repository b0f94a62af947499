package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"bundleup/auth"
	"bundleup/auth/audit"
	"bundleup/httpd"
	"bundleup/vfs"
	"bundleup/vfs/store/disk"
)

// BenchmarkOverhead uploads to a disk in turns without eyes and with them: metrics
// alone, and metrics, log and audit trail. It reports how many times as long the
// median upload with eyes takes. What the trail costs is the same for any size.
func BenchmarkOverhead(b *testing.B) {
	for _, size := range []int{8 << 20, 32 << 20} {
		var buf bytes.Buffer
		if err := writeBundle(&buf, size, 1); err != nil {
			b.Fatal(err)
		}
		for _, eyes := range []string{"metrics", "all"} {
			b.Run(fmt.Sprintf("%dMiB/%s", size>>20, eyes), func(b *testing.B) { compareEyes(b, eyes, buf.Bytes()) })
		}
	}
}

func compareEyes(b *testing.B, eyes string, data []byte) {
	views := [2]vfs.View{overheadView(b, "none"), overheadView(b, eyes)}
	var took [2][]time.Duration
	for i := 0; b.Loop(); i++ {
		for turn := range views {
			which := (i + turn) % 2 // neither is always the first
			start := time.Now()
			uploadAndDiscard(b, views[which], fmt.Sprintf("/diag-%d.tgz", i), data)
			took[which] = append(took[which], time.Since(start))
		}
	}
	b.ReportMetric(float64(median(took[1]))/float64(median(took[0])), "ratio")
}

func median[T cmp.Ordered](samples []T) T {
	s := slices.Sorted(slices.Values(samples))
	return s[len(s)/2]
}

// uploadAndDiscard sends data and throws it away: the sync at the end is the disk's,
// and hides all else.
func uploadAndDiscard(b *testing.B, view vfs.View, name string, data []byte) {
	u, err := view.Create(b.Context(), name, vfs.Flags{Create: true})
	if err != nil {
		b.Fatal(err)
	}
	for piece := range slices.Chunk(data, 32<<10) {
		if _, err := u.Write(piece); err != nil {
			b.Fatal(err)
		}
	}
	if err := u.Discard(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func overheadView(b *testing.B, eyes string) vfs.View {
	s, err := disk.Open(b.TempDir(), disk.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	cfg := vfs.Config{Store: s, Tenants: func() []auth.Tenant { return []auth.Tenant{"acme"} }}
	if eyes != "none" {
		metrics := httpd.NewMetrics("", httpd.Sources{})
		cfg.Meter, cfg.Events = metrics.Meter(), metrics.Events()
	}
	if eyes == "all" {
		trail, err := audit.Open(audit.Config{File: b.TempDir() + "/audit.jsonl", RotateSize: 64 << 20}, audit.Event{Type: audit.Started})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { trail.Close() })
		cfg.Events = logEvents(slog.New(slog.NewJSONHandler(io.Discard, nil))).Tee(auditUploads(trail.Record)).Tee(cfg.Events)
	}
	tree, err := vfs.NewTree(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	view, err := tree.View(&auth.Account{Name: "acme", Role: auth.Customer, Tenant: "acme"}, vfs.Peer{Protocol: "sftp"})
	if err != nil {
		b.Fatal(err)
	}
	return view
}
