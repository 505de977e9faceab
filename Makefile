# Everything that a person does here. `make` lists it.

.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

CARGO ?= cargo
TESTBED := $(CARGO) run --package multicluster-tests --bin testbed --
PRODUCT := --bins --package multicluster-agent --package multicluster-authproxy --package multicluster-cli \
	--package multicluster-extender --package multicluster-webhook

.PHONY: help
help: ## List the commands
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) \
		| while IFS=: read -r name rest; do printf '  make %-10s %s\n' "$$name" "$${rest##*## }"; done

##### to try it

.PHONY: build
build: ## Build webhook, extender, agent, authproxy and kubectl-multicluster
	$(CARGO) build $(PRODUCT)

.PHONY: images
images: ## Build all images and their bill of materials into target/images, without a container engine (root, Debian)
	tests/real-nodes-setup
	image/without-engine target/images

.PHONY: demo
demo: build ## Show the product at work in three clusters, and check all that is shown
	$(TESTBED) demo

.PHONY: up
up: build ## Start the same clusters in the background, to play with
	$(TESTBED) up

.PHONY: down
down: ## End what `make up` started
	@# Also while the code does not compile.
	@if [ -x target/debug/testbed ]; then target/debug/testbed down; else $(TESTBED) down; fi

##### to remove it

KUBECONFIG ?= $(HOME)/.kube/config
OVERLAY ?= both
KUBECTL ?= kubectl
ACCESS := --kubeconfig $(KUBECONFIG) $(if $(CONTEXT),--context $(CONTEXT))
UNINSTALL := target/debug/multicluster-agent uninstall $(ACCESS)

.PHONY: uninstall
uninstall: ## Remove the product from a cluster: KUBECONFIG=FILE CONTEXT=NAME OVERLAY=source|target|both
	$(CARGO) build --package multicluster-agent
	$(UNINSTALL)
	@# The authenticating proxy, where there is one: without cert-manager its overlay could not even be deleted.
	if [ -n "$$($(KUBECTL) $(ACCESS) get clusterrole multicluster-authproxy --ignore-not-found -o name)" ]; then \
		$(KUBECTL) $(ACCESS) delete --ignore-not-found -k manifests/overlays/authproxy; \
	fi
	$(KUBECTL) $(ACCESS) delete --ignore-not-found -k manifests/overlays/$(OVERLAY)
	$(UNINSTALL) --check

##### to change it

.PHONY: test
test: lint drift unit e2e ## Everything that must pass: lint, drift, unit, e2e

.PHONY: fmt
fmt: ## Format the code
	$(CARGO) fmt --all

.PHONY: lint
lint: ## Check format, clippy and documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' $(CARGO) doc --workspace --no-deps --document-private-items

.PHONY: unit
unit: ## Run the tests that need no cluster
	$(CARGO) test --workspace --exclude multicluster-tests

# Seconds of fuzzing, each target.
FUZZ_SECONDS ?= 300
FUZZ_TARGETS := admission annotations chaperons extender identity kubeconfig summaries

.PHONY: fuzz
fuzz: ## Fuzz what comes from outside, FUZZ_SECONDS=300 each target, if nightly and cargo-fuzz are installed
	@if ! $(CARGO) +nightly --version >/dev/null 2>&1; then \
		echo 'skipped: a nightly compiler is missing (rustup toolchain install nightly)'; \
	elif ! $(CARGO) fuzz --version >/dev/null 2>&1; then \
		echo 'skipped: cargo-fuzz is missing (cargo install --locked cargo-fuzz)'; \
	else for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/corpus/$$target; \
		$(CARGO) +nightly fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=8192 -timeout=10 -rss_limit_mb=2048; \
	done; fi

.PHONY: e2e
e2e: build programs ## Run the tests on real control planes, and as root the quick start on nodes with real containers
	@# One program that fails does not hide what the others say.
	$(CARGO) test --package multicluster-tests --no-fail-fast

.PHONY: bench
bench: programs ## Measure pods per second and API writes, with optimised programs
	$(CARGO) build --release $(PRODUCT)
	$(CARGO) run --release --package multicluster-tests --bin bench

.PHONY: soak
soak: build programs ## Break things at random for 10 minutes, check what must hold (SOAK_MINUTES, SOAK_SEED)
	$(CARGO) run --package multicluster-tests --bin soak

.PHONY: programs
programs: ## Build the control planes' programs into the cache (minutes, once per machine)
	tests/real-nodes-setup
	$(TESTBED) build

.PHONY: manifests
manifests: ## Generate the definitions from api; overlays from the chart; reference pages in docs
	$(CARGO) run --package multicluster-api --bin crds -- manifests/chart/files/crds
	$(TESTBED) manifests
	$(CARGO) run --package multicluster-reference -- docs

.PHONY: drift
drift: ## Check that what `make manifests` generates is up to date
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(CARGO) run --package multicluster-api --bin crds -- "$$fresh"; \
	diff --recursive --unified --exclude=kustomization.yaml manifests/chart/files/crds "$$fresh" \
		|| { echo 'the definitions differ from the types in api: run make manifests' >&2; exit 1; }
	$(TESTBED) manifests --check
	$(CARGO) run --package multicluster-reference -- --check docs

.PHONY: deny
deny: ## Check licences, sources and bans of dependencies, if cargo-deny is installed
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check licenses bans sources; \
	else echo 'skipped: cargo-deny is missing (cargo install --locked cargo-deny)'; fi
