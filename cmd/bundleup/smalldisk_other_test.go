//go:build !linux

package main

import "github.com/rogpeppe/go-internal/testscript"

func canMount() (bool, error) { return false, nil }

func smallDiskCmd(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Fatalf("smalldisk: only Linux can mount a small disk")
}
