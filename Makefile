# Targets are one line each; `make help` lists them. Everything but `generate`, `lint` and `race` needs only Go.
BACKEND  ?= auto
SCENARIO ?=
OUT      ?= out
DURATION ?= 1m
SEED     ?= 0
CELLS    ?= 0
PACKETS  ?= 0
BENCH    ?=
QUICK    ?=
CONTROL_PLANE ?= auto
FLAGS    ?=
RUN      ?=
FUZZTIME ?= 30s
PART     ?= 1
KERNELS  ?=
SUITES   ?=
GO       ?= go

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the commands into bin/
	$(GO) build -trimpath -o bin/ ./cmd/...

.PHONY: test
test: ## run all tests (as root also those that need the kernel)
	$(GO) test -timeout 30m ./...

.PHONY: race
race: ## run the tests of what several goroutines share with the race detector (as root; needs a C compiler, CC=clang)
	CGO_ENABLED=1 $(GO) test -race -short -timeout 20m ./bpf ./agent/...

.PHONY: scenarios
scenarios: ## replay the scenarios; BACKEND=auto|sim|netns|kind|cluster CONTROL_PLANE=auto|processes|memory SCENARIO=pattern FLAGS="--nodes 3"
	@$(GO) build -o bin/ ./cmd/... && bin/palisade scenarios run --backend $(BACKEND) --control-plane $(CONTROL_PLANE) --run '$(SCENARIO)' --out $(OUT) $(FLAGS)

.PHONY: ci-kind
ci-kind: ## all scenarios that apply, on a kind cluster that is made and removed (as root; 6 minutes, 30 more the first time)
	@$(MAKE) --no-print-directory scenarios BACKEND=kind

.PHONY: smoke-kind
smoke-kind: ## a few scenarios and restarts under load on a kind cluster that is made and removed (as root); part of .ci/run
	@hack/kind/smoke.sh

.PHONY: soak
soak: ## ask model, tables and (as root) kernel about random clusters; DURATION=10m SEED=1 CELLS=1000000
	@$(GO) run ./hack/soak -duration $(DURATION) -seed $(SEED) -cells $(CELLS) -out $(OUT)

.PHONY: kernels
kernels: ## run what depends on the kernel on Debian's 5.10, 6.1, 6.12 (amd64, arm64) under qemu; KERNELS=5.10,6.12 SUITES=verifier,live
	@$(GO) run ./hack/kernels -kernels '$(KERNELS)' -suites '$(SUITES)' -out $(OUT)/kernels

.PHONY: duel
duel: ## send the same random packets to the kernel and to its twin in Go (as root); DURATION=10m SEED=1 PACKETS=100000000
	@$(GO) run ./hack/soak -duel -duration $(DURATION) -seed $(SEED) -packets $(PACKETS)

.PHONY: blast
blast: ## blast packets from pod to pod while policies that deny them are swapped at 100 Hz (as root); PACKETS=10000000
	@$(GO) run ./hack/soak -blast -duration $(DURATION) -packets $(PACKETS)

.PHONY: scale
scale: ## load policies with a million peers, 100,000 blocks, 500 pods into the kernel (as root); PART=10 makes all of it so much smaller
	@$(GO) run ./hack/scale -part $(PART) -run '$(RUN)'

.PHONY: mutants
mutants: ## plant bugs one at a time in a copy of the tree, and show which test notices (as root, with clang; RUN=pattern)
	@$(GO) run ./hack/mutants -run '$(RUN)'

.PHONY: fuzz
fuzz: ## run every fuzz target; FUZZTIME=30s each
	@grep -rn --include='*_test.go' -o '^func Fuzz[A-Za-z0-9]*' . | sed 's|/[^/]*_test.go:.*func | |' | sort | while read -r dir target; \
	do echo "$$dir $$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$dir" || exit 1; done

.PHONY: bench
bench: ## measure datapath and control plane (as root) and the model; QUICK=1 only shows that all works; BENCH='-policies 100' for the control plane
	@$(GO) run ./hack/bench -baseline hack/bench/baseline.json $(if $(QUICK),-quick)
	@$(GO) run ./hack/bench/controlplane $(if $(QUICK),-policies 100 -pods 1000) $(BENCH)
	$(GO) test -run '^$$' -bench . -benchtime $(if $(QUICK),1x,1s) ./bpf ./model ./sim/...

.PHONY: generate
generate: ## regenerate the eBPF object, its Go types, deepcopy, CRDs and the JSON schema (needs clang)
	$(GO) generate ./...

.PHONY: lint
lint: ## gofmt, vet and golangci-lint
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run ./...
