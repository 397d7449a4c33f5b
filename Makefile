# What a person does with this project; the work is cargo's. `make help` lists it.

.DEFAULT_GOAL := help
.PHONY: help demo tour test lint fmt docs e2e browser interop conformance screenshots errors-page configuration-page bench bench-ir bench-micro capacity mutants restart-under-load soak fuzz deny clean soak-cache deploy-checks containers cluster release sbom entra-registration

help: ## this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 12

demo: ## the whole system on this machine; Ctrl-C ends it (same as `cargo demo`)
	cargo demo

tour: ## a walk with curl through every kind of answer of the gateway, printed for people
	scripts/tour

test: ## everything that CI runs: format, lints, unit, documentation, end-to-end and browser tests
	scripts/test

fmt: ## format the code
	cargo fmt --all
	cargo fmt --manifest-path tests/fuzz/Cargo.toml

lint: ## clippy and format, as strict as CI
	cargo fmt --all --check
	cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings

docs: ## the API documentation, without warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features

e2e: ## the end-to-end tests only
	cargo test -p obo-tests --test e2e

browser: ## the browser tests only
	scripts/install-test-tools browser
	cargo test -p obo-tests --test browser

interop: ## msal and azure-identity (Python, Node), unmodified, and the gateway against the emulator, and Keycloak; needs python3, node, java, mvn
	scripts/interop
	scripts/keycloak

conformance: ## suites that judge the gateway and take long: each script of scripts/conformance; needs go
	scripts/conformance/all

screenshots: ## the pictures in docs/, taken anew by the browser tests
	scripts/install-test-tools browser
	UPDATE_SCREENSHOTS=1 cargo test -p obo-tests --test browser

errors-page: ## docs/errors.md, made anew from the table that the code uses
	UPDATE_DOCS=1 cargo test -p obo-tests --test e2e the_page_of_errors

configuration-page: ## docs/configuration.md, made anew from the table by which the gateway reads its settings
	UPDATE_DOCS=1 cargo test -p obo-gateway --lib the_page_of_settings

bench: ## the gateway beside HAProxy and nginx under load; ROUNDS, SECONDS, TOKENS; DOCS=1 writes docs/bench.md
	scripts/bench

bench-ir: ## instructions per cached request under callgrind, against the recorded figure
	scripts/bench-ir

bench-micro: ## what the library costs by what becomes of a request, with criterion (2 minutes)
	cargo bench -p tower-obo --bench micro

capacity: ## docs/capacity.md, made anew: how many exchanges a fleet costs, simulated with 10 million users at 1,000 replicas; 2 minutes
	cargo run --release -p obo-capacity

deploy-checks: ## overlays, chart, alerts, dashboard, Dockerfile and units in deploy/, judged by the tools that they are for
	scripts/install-test-tools
	scripts/deploy-checks

containers: ## images by the Dockerfile and the whole demo in them, without an engine; needs root and Debian; COMPILE=1 compiles in the image, too
	scripts/install-test-tools
	scripts/container-test

cluster: ## overlays and chart in a real Kubernetes control plane, with kwok for nodes; needs etcd and Go 1.26, and twenty minutes the first time
	scripts/install-test-tools go
	scripts/cluster

release: ## stripped programs, packed crates, bills of materials and checksums in target/dist; see RELEASING.md
	scripts/release

sbom: ## a bill of materials (CycloneDX) for each program, in target/sbom
	scripts/sbom

entra-registration: ## deploy/entra by the real Azure CLI against the emulator, and the demo on what it made; five minutes
	scripts/entra-registration

mutants: ## changes the code and sees whether a test goes red (hours; see CONTRIBUTING)
	scripts/mutants

restart-under-load: ## two gateways behind one socket are restarted in turn while wrk sends; no request may fail
	scripts/restart-under-load

soak: ## callers at a fixed rate while everything else fails, rotates and restarts; SOAK_SECONDS (600)
	scripts/soak

soak-cache: ## a million callers through one small cache (an hour)
	cargo test -p tower-obo --all-features --test memory -- --ignored

fuzz: ## every parser of what strangers send, for FUZZ_SECONDS each (120)
	scripts/fuzz

deny: ## dependencies: banned crates, licences, sources
	scripts/deny

clean: ## remove what was built
	cargo clean
