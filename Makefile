# The targets that people and CI use. `make help` lists them.
SHELL := /bin/bash
GO    ?= go
BIN   := bin/windlass
SEEDS ?= 20000

# Tools are pinned in a module of their own, so that the program's module names only what the program needs.
TOOL        = $(shell $(GO) -C .ci/tools tool -n $(1))
STATICCHECK = $(call TOOL,staticcheck)
SUM         = $(call TOOL,gotestsum) --format pkgname --hide-summary skipped

# service/ec2 needs 3.4 GB to compile: few packages at a time keep a small machine alive, and the same flags everywhere compile it once.
ifeq ($(MAKELEVEL),0)
export GOFLAGS := $(GOFLAGS) -p=2 -trimpath
endif

.DEFAULT_GOAL := help
.PHONY: help build demo test tests stories mutate sim fuzz bench lint size man deb image release try

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

build: ## build bin/windlass, stripped
	@mkdir -p bin
	$(GO) build -ldflags '-s -w' -o $(BIN) ./cmd/windlass

man: build ## the manual pages, in bin/man
	@mkdir -p bin/man
	$(BIN) manual bin/man

# Another architecture compiles all anew, which takes a minute and 3.4 GB.
ARCHES ?= amd64 arm64

deb: ## Debian packages, bin/windlass_*.deb (ARCHES="amd64 arm64")
	@GO='$(GO)' .ci/deb $(ARCHES)

image: ## container image without a daemon, bin/windlass-image.tar (ARCHES="amd64 arm64")
	@GO='$(GO)' .ci/image $(ARCHES)

release: ## all that is distributed, in bin/release: packages, image, programs for Linux and macOS, contents, sums
	@GO='$(GO)' .ci/release

try: ## make this machine's package and image, and try them: lintian, install, upgrade, remove, purge, run
	arch=$$($(GO) env GOARCH) && deb=$$(GO='$(GO)' .ci/deb $$arch) && image=$$(GO='$(GO)' .ci/image $$arch) && \
	cd .ci/pack && $(SUM) --jsonfile $(CURDIR)/bin/try.json -- -count 1 -timeout 10m . -deb "$$deb" -image "$$image"
	@.ci/leftout bin/try.json

demo: build ## watch a local fleet deploy, halt and roll back, in under a minute
	$(BIN) demo

test: build ## everything: unit tests with the race detector, 2,000 simulated stories, end to end
	$(GO) build -race ./...
	@$(MAKE) --no-print-directory --output-sync=target -j2 tests stories
	@cat bin/race.json bin/e2e.json bin/sim.json bin/simrace.json > bin/test.json; .ci/leftout bin/test.json

# End to end, the program under test is the one that people run; with the race detector it runs in cmd/windlass.
tests:
	$(SUM) --jsonfile bin/race.json -- -race -timeout 20m $$($(GO) list ./... | grep -vE '/internal/e2e|/reconciler/sim')
	$(SUM) --jsonfile bin/e2e.json -- -count 1 -timeout 20m ./internal/e2e
	$(GO) -C .ci/tools test ./mutate

# Stories take virtual time: they can wait for the tests that take real time.
stories:
	nice -n 19 $(SUM) --jsonfile bin/sim.json -- -timeout 20m ./reconciler/sim
	nice -n 19 $(SUM) --jsonfile bin/simrace.json -- -race -timeout 20m -run 'Laws$$' ./reconciler/sim

# The sample of CI: packages whose own tests are quick and draw the same each time, and a floor below what was measured (docs/proof.md).
SAMPLE = -own -sample 100 -floor 85 reconciler/plan health actuators

mutate: ## plant small bugs, and list those that no test finds (MUTATE=all, or packages; by itself the sample of CI)
	@$(GO) -C .ci/tools build -o $(CURDIR)/bin/mutate ./mutate
	nice bin/mutate $(or $(MUTATE),$(SAMPLE))

sim: ## many more simulated stories (SEEDS=20000)
	$(GO) test ./reconciler/sim -run 'Laws$$' -count 1 -timeout 0 -seeds $(SEEDS) -from 10000

fuzz: ## 200,000 inputs for each fuzzer (FUZZ=200000)
	@.ci/fuzz

bench: build ## speed, side by side with a shell loop, and what a pass and a node cost (BEFORE=REVISION: there as well)
	@rm -f bin/before.tsv
	@$(if $(BEFORE),GO='$(GO)' .ci/before '$(BEFORE)' >bin/before.tsv)
	WINDLASS_BENCH_BEFORE=$(if $(BEFORE),$(CURDIR)/bin/before.tsv) $(GO) test ./internal/bench -run '^$$' -bench . -benchtime 1x -timeout 20m

lint: size ## gofmt, vet, staticcheck, shellcheck where installed
	@out=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$out" || { echo "not gofmt-ed: $$out"; exit 1; }
	$(GO) vet ./...
	$(GO) -C .ci/tools vet ./...
	$(GO) -C .ci/pack vet ./...
	$(STATICCHECK) ./...
	@! command -v shellcheck >/dev/null || shellcheck .ci/run .ci/fuzz .ci/leftout .ci/before .ci/version .ci/compile .ci/deb .ci/image .ci/release .ci/pack/testdata/*.sh .ci/packaging/postinst .ci/packaging/prerm .ci/packaging/postrm findings/*.sh

size: build ## the stripped binary stays below 34 MB
	@size=$$(stat -c %s $(BIN)); echo "$(BIN): $$((size / 1000000)) MB"; test $$size -le 34000000
