package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"bundleup/configs"
	"bundleup/vfs"
	"bundleup/vfs/store/disk"
	"bundleup/vfs/store/s3"
)

// medium is a store of either kind, opened.
type medium interface {
	vfs.Storage
	Close() error
}

// tidier is a medium that has to be cleared up while it is in use.
type tidier interface {
	Tidy(ctx context.Context) error
}

// openMedium opens the store that the configuration names and logs what opening it
// repaired. stuck is how many uploads could not be. lock is that of a disk's root, as
// an older daemon handed it over, or nil.
func openMedium(ctx context.Context, cfg configs.Config, lock *os.File, log *slog.Logger) (m medium, stuck int, err error) {
	if cfg.Storage.Kind == "s3" {
		if lock != nil {
			lock.Close()
		}
		s, err := openS3(ctx, cfg)
		if err != nil {
			return nil, 0, err
		}
		r := s.Report()
		logRepair(log, r.Suspended, r.Sealed, r.RolledBack, r.Removed, r.Stuck, r.Err)
		return s, r.Stuck, nil
	}
	s, err := disk.Open(cfg.Storage.Disk.Root, disk.Options{Lock: lock})
	if err != nil {
		return nil, 0, err
	}
	r := s.Report()
	logRepair(log, r.Suspended, r.Sealed, r.RolledBack, r.Removed, r.Stuck, r.Err)
	return s, r.Stuck, nil
}

func logRepair(log *slog.Logger, suspended, sealed, rolledBack, removed, stuck int, err error) {
	log.Info("store opened", "suspended", suspended, "sealed", sealed, "rolled_back", rolledBack, "removed", removed)
	if err != nil {
		// Whoever runs this must act: the bytes are safe, but not visible.
		log.Error("uploads could not be repaired and were left alone", "uploads", stuck, "err", err)
	}
}

// spoolDir is where parts go that do not fit into memory.
func spoolDir(cfg configs.Config) string { return filepath.Join(cfg.DataDir, "spool") }

func openS3(ctx context.Context, cfg configs.Config) (*s3.Store, error) {
	if err := os.MkdirAll(spoolDir(cfg), 0o700); err != nil {
		return nil, fmt.Errorf("make spool: %w", err)
	}
	return s3.Open(ctx, s3Options(cfg))
}

func s3Options(cfg configs.Config) s3.Options {
	c := cfg.Storage.S3
	return s3.Options{
		Bucket: c.Bucket, Prefix: c.Prefix, Region: c.Region, Endpoint: c.Endpoint, PathStyle: c.PathStyle,
		SingleNode: c.SingleNode, Lease: time.Duration(c.Lease), Memory: int64(c.Memory), Spool: spoolDir(cfg),
	}
}
