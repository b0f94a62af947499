# What a developer types. CI calls "make test reproduce" through .ci/run.
GO ?= go
TOOLS := $(CURDIR)/bin
export PATH := $(TOOLS):$(PATH)

STATICCHECK_VERSION := v0.8.2
GOVULNCHECK_VERSION := v1.9.0
VERSITYGW_VERSION := v1.8.0
CYCLONEDX_VERSION := v1.10.0
# What the binaries say that they are: the tag, or the commit.
VERSION ?= $(or $(shell git describe --tags --always --dirty 2>/dev/null),devel)
ARCHS ?= amd64 arm64
FUZZTIME ?= 10000x

.PHONY: run build test test-s3 vet lint vuln unit fuzz torture big siege bench bench-peers profile release reproduce deb image image-test clean

## run: a demo daemon in a throwaway directory; prints what to type
run: build
	$(TOOLS)/bundleup serve --demo

## build: bin/bundleup
build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(TOOLS)/bundleup ./cmd/bundleup

## test: everything CI runs
test: vet lint vuln fuzz unit test-s3

vet:
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt wants:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags 'peers torture siege' ./cmd/bundleup

lint: $(TOOLS)/staticcheck
	$(TOOLS)/staticcheck ./...

vuln: $(TOOLS)/govulncheck
	@./.ci/govulncheck $(TOOLS)/govulncheck

unit:
	$(GO) test -race -timeout 30m ./...

## test-s3: the promises, two daemons, stories and faults on a real S3 server, started here
test-s3: $(TOOLS)/versitygw
	@./.ci/s3 $(TOOLS)/versitygw $(GO) test -count 1 -timeout 20m -run 'Gateway|Faults|Outage|Zombie|Winner|Crash' ./vfs/store/s3 ./cmd/bundleup

## fuzz: every fuzz target for FUZZTIME each, a number of runs (10000x) or a time (1m)
fuzz:
	@./.ci/fuzz $(FUZZTIME)

## torture: stock clients against kill -9, cut connections and a full disk for TORTURE;
## filling the disk up takes root
TORTURE ?= 3m
torture:
	$(GO) test -tags torture -run TestTorture -v -timeout 60m ./cmd/bundleup -torture.time $(TORTURE)

## big: one upload of BIG bytes, killed and resumed; prints what that reads and how long CLOSE takes
BIG ?= 10000000000
big:
	$(GO) test -tags torture -run TestBigUpload -v -timeout 60m ./cmd/bundleup -big.size $(BIG)

## siege: attacks on a daemon on the loopback while honest clients work, and one by one;
## what idle connections cost
siege:
	$(GO) test -tags siege -run 'TestSiege|TestAttacks|TestIdleCost' -v -timeout 60m ./cmd/bundleup

## bench: Go benchmarks, ready for benchstat
bench:
	$(GO) test -run '^$$' -bench . -count 6 ./...

## bench-peers: side by side with OpenSSH, gzip, igzip, pigz, bsdtar; writes docs/BENCHMARKS.md.
## PARTS="check upload" measures only these sections, PEERS_DIR says on which disk
PARTS ?=
export PEERS_DIR ?= $(or $(TMPDIR),/tmp)/bundleup-peers
bench-peers: build
	PARTS="$(PARTS)" ./.ci/bench-peers

## profile: the top costs of the daemon during uploads of PROFILE (logs, incompressible, ...)
PROFILE ?= logs
profile:
	mkdir -p $(TOOLS)
	$(GO) test -tags peers -count 1 -run '^TestProfile$$' ./cmd/bundleup -peers.dir $(PEERS_DIR) -profile.corpus $(PROFILE) -profile.out $(TOOLS)/cpu.prof
	$(GO) tool pprof -top -nodecount 10 $(TOOLS)/cpu.prof

## release: dist/ with a static binary for each of ARCHS, what it is made of, SHA256SUMS
release: $(TOOLS)/cyclonedx-gomod
	./.ci/release dist $(VERSION) $< $(ARCHS)
	@cat dist/SHA256SUMS

## deb: Debian packages in dist/, for each of ARCHS
deb:
	./.ci/deb dist $(VERSION) $(ARCHS)

## image: container images in dist/, for each of ARCHS
image:
	./.ci/image dist $(VERSION) $(ARCHS)

## image-test: the image of this machine's architecture runs from its own root; takes root
image-test:
	./.ci/image-test $(VERSION) $(shell $(GO) env GOARCH)

## reproduce: two builds of HEAD in two directories must have the same bytes
reproduce:
	./.ci/reproduce $(VERSION)

$(TOOLS)/staticcheck:
	GOBIN=$(TOOLS) $(GO) install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)

$(TOOLS)/versitygw:
	GOBIN=$(TOOLS) $(GO) install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION)

$(TOOLS)/govulncheck:
	GOBIN=$(TOOLS) $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)

$(TOOLS)/cyclonedx-gomod:
	GOBIN=$(TOOLS) $(GO) install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX_VERSION)

clean:
	rm -rf $(TOOLS) dist
