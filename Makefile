# What a developer types. CI calls "make test" through .ci/run.
GO ?= go
TOOLS := $(CURDIR)/bin
export PATH := $(TOOLS):$(PATH)

STATICCHECK_VERSION := v0.8.2
GOVULNCHECK_VERSION := v1.9.0
FUZZTIME ?= 10000x

.PHONY: run build test vet lint vuln unit fuzz torture big siege bench bench-peers profile clean

## run: a demo daemon in a throwaway directory; prints what to type
run: build
	$(TOOLS)/bundleup serve --demo

## build: bin/bundleup
build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(TOOLS)/bundleup ./cmd/bundleup

## test: everything CI runs
test: vet lint vuln fuzz unit

vet:
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt wants:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags 'peers torture' ./cmd/bundleup

lint: $(TOOLS)/staticcheck
	$(TOOLS)/staticcheck ./...

vuln: $(TOOLS)/govulncheck
	@./.ci/govulncheck $(TOOLS)/govulncheck

unit:
	$(GO) test -race -timeout 30m ./...

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

## siege: attacks on a daemon on the loopback while honest clients work; what idle
## connections cost
siege:
	$(GO) test -tags siege -run 'TestSiege|TestIdleCost' -v -timeout 60m ./cmd/bundleup

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

$(TOOLS)/staticcheck:
	GOBIN=$(TOOLS) $(GO) install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)

$(TOOLS)/govulncheck:
	GOBIN=$(TOOLS) $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)

clean:
	rm -rf $(TOOLS)
