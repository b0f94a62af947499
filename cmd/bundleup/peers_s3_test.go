//go:build peers

package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

var peersGateway = flag.String("peers.gateway", "", "versitygw, for the parts about S3")

// gatewayEnv is for the AWS CLI and bundleup: credentials of the gateway, which exists
// for the measurement only. The parts about S3 come last, for it stays.
var gatewayEnv = map[string]string{
	"AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "testsecret12", "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
	"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	"BUNDLEUP_STORAGE_S3_BUCKET": "test", "BUNDLEUP_STORAGE_S3_PATH_STYLE": "true",
	"BUNDLEUP_LIMITS_CONNECTIONS": "1024", "BUNDLEUP_LIMITS_CONNECTIONS_PER_ACCOUNT": "1024",
	"BUNDLEUP_LIMITS_CONNECTIONS_PER_SOURCE": "1024", "BUNDLEUP_LIMITS_STARTUPS": "1000:30:1024",
}

// s3Server is a gateway to a directory, and a bundleup that keeps bundles there.
type s3Server struct {
	*contender
	daemon *scriptDaemon
	url    string
	bucket string // its directory
}

// startS3 runs a gateway and a daemon over it, for a crowd from one source. It gives nil
// where there is no gateway.
func (p *peers) startS3() *s3Server {
	if *peersGateway == "" {
		return nil
	}
	if _, err := os.Stat(*peersGateway); err != nil {
		return nil
	}
	dir := p.scratch("gateway")
	s := &s3Server{bucket: filepath.Join(dir, "root", "test")}
	if err := errors.Join(os.MkdirAll(s.bucket, 0o700), os.MkdirAll(filepath.Join(dir, "versions"), 0o700)); err != nil {
		p.Fatal(err)
	}
	port := freePort(p.T)
	s.url = "http://127.0.0.1:" + port
	cmd := exec.Command(*peersGateway, "--port", "127.0.0.1:"+port, "--access", "testkey", "--secret", "testsecret12", "--quiet",
		"posix", "--versioning-dir", filepath.Join(dir, "versions"), filepath.Join(dir, "root"))
	if err := cmd.Start(); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	waitFor(p.T, port)
	for k, v := range gatewayEnv {
		p.Setenv(k, v)
	}
	p.Setenv("BUNDLEUP_STORAGE_KIND", "s3")
	p.Setenv("BUNDLEUP_STORAGE_S3_ENDPOINT", s.url)
	s.contender, s.daemon = startBundleup(p.T, p.binary, p.scratch("bundleup"), "")
	return s
}

const noGateway = "Not measured: versitygw is not there (`make bin/versitygw`).\n"

// s3 compares an upload into S3 with the AWS CLI's copy of the same file to the same
// server.
func (p *peers) s3() string {
	if _, err := exec.LookPath("aws"); err != nil {
		return "Not measured: the AWS CLI, `aws`, is not there.\n"
	}
	s := p.startS3()
	if s == nil {
		return noGateway
	}
	var rows [][]string
	for _, corpus := range []string{"incompressible", "logs"} {
		file := corpusFile(p.T, p.dir, corpus)
		took := p.inTurn(2, func(i int) time.Duration {
			defer p.emptyBucket(s)
			if i == 1 {
				return p.wall("aws", "--endpoint-url", s.url, "s3", "cp", "--quiet", file, "s3://test/cli.tgz")
			}
			s.target = fmt.Sprintf("/up-%d.tgz", time.Now().UnixNano())
			return s.put(p.T, file, transfer{})
		})
		rows = append(rows, []string{fmt.Sprintf("%s, %.0f MB", corpus, megabytes(file)), seconds(took[0]), seconds(took[1]), times(took[1], took[0])})
	}
	return "OpenSSH's sftp to bundleup, which inflates, checks and hashes the bundle and keeps it in\nS3, against `aws s3 cp` of the same file straight to the same versitygw on the same disk.\n\n" +
		table([]string{"", "sftp, bundleup s", "`aws s3 cp` s", "CLI : bundleup"}, rows)
}

// emptyBucket gives the disk back and waits until no write-back disturbs what is
// measured next.
func (p *peers) emptyBucket(s *s3Server) {
	for _, pattern := range []string{"cli.tgz", "bundles/acme/*"} {
		files, err := filepath.Glob(filepath.Join(s.bucket, pattern))
		if err != nil {
			p.Fatal(err)
		}
		for _, f := range files {
			if err := os.RemoveAll(f); err != nil {
				p.Fatal(err)
			}
		}
	}
	syscall.Sync()
}

// s3Memory has uploads begin at the same moment, with a budget that is a fraction of
// what they would fill.
func (p *peers) s3Memory() string {
	var file bytes.Buffer
	if err := writeBundle(&file, crowdBytes, 4); err != nil {
		p.Fatal(err)
	}
	var rows [][]string
	for _, many := range []int{10, 100} {
		s := p.startS3()
		if s == nil {
			return noGateway
		}
		clients := p.connectAll(s.daemon, many)
		idle := p.peak(s.pid)
		errs := make([]error, many)
		var all sync.WaitGroup
		start := time.Now()
		for i, c := range clients {
			all.Go(func() { errs[i] = sendTo(c, fmt.Sprintf("/up-%d.tgz", i), file.Bytes()) })
		}
		all.Wait()
		took := time.Since(start)
		for _, c := range clients {
			c.Close()
		}
		if err := errors.Join(errs...); err != nil {
			p.Fatal(err)
		}
		accepted, err := filepath.Glob(filepath.Join(s.bucket, "bundles", "acme", "up-*.tgz"))
		if err != nil {
			p.Fatal(err)
		}
		rows = append(rows, []string{
			fmt.Sprint(many), fmt.Sprint(len(accepted)), mebibytes(idle), mebibytes(p.peak(s.pid)),
			fmt.Sprintf("%.0f MB/s", float64(many*file.Len())/1e6/took.Seconds()),
		})
		s.daemon.cleanup()
		s.daemon.cmd = nil
	}
	return fmt.Sprintf("Uploads of %d MiB each, all begun at once by a load generator on the same machine, into S3;\n`storage.s3.memory` and `limits.memory` as they are by default.\n\n", crowdBytes>>20) +
		table([]string{"uploads", "accepted", "daemon's peak, all logged in", "peak", "all together"}, rows)
}
