# The commands of this repository. Each installs the packages that it needs and prints their names.
#   make demo    a throwaway realm and a real HA cluster behind the gateway, until Ctrl-C
#   make test    everything: format, lints, docs, unit, in-process and integration tests
#   make release the gateway for production, target/pgo/spnegate: profile-guided optimisation
#   make bench   side by side with HAProxy, nginx and Apache; writes a table to benches/ (BENCH: options)
#   make docs    the book of docs/ as HTML in target/book, with mdbook
#   make audit   cargo-deny: licences, bans, sources, then advisories, whose database needs a network
#   make fuzz    each fuzz target for FUZZ_SECONDS (needs a nightly toolchain and cargo-fuzz)
#   make docker-proof  carries out docker/Dockerfile without a container engine (needs root); with
#                PROOF="--build --compose" its build stages and both services of the demo too

SHELL := /bin/bash
CARGO ?= cargo
FUZZ_SECONDS ?= 60
MDBOOK_VERSION := 0.4.52

BUILD_PACKAGES := gcc libc6-dev make pkg-config libkrb5-dev libclang-dev
KERBEROS_PACKAGES := krb5-kdc krb5-admin-server krb5-user
LAB_PACKAGES := $(KERBEROS_PACKAGES) curl openjdk-17-jdk-headless maven procps iproute2
TEST_PACKAGES := $(LAB_PACKAGES) krb5-k5tls samba-ad-dc samba-ad-provision chromium firefox-esr python3-venv python3-dev faketime
PROOF_PACKAGES := debootstrap python3 python3-yaml iproute2
RELEASE_PACKAGES := $(KERBEROS_PACKAGES) curl nginx openssl procps iproute2
BENCH_PACKAGES := $(LAB_PACKAGES) openssl haproxy nginx libnginx-mod-stream apache2 libapache2-mod-auth-gssapi

# `make release` builds twice: first an instrumented program, which is run under load, then the final one with
# the recorded profile. The compiler's llvm-profdata is in the component llvm-tools of rustup.
PGO := $(CURDIR)/target/pgo
TRIPLE = $(shell rustc -vV | sed -n 's/^host: //p')
PROFDATA = $(shell rustc --print sysroot)/lib/rustlib/$(TRIPLE)/bin/llvm-profdata
SOURCES = Cargo.toml Cargo.lock $(shell find src -type f)

# $(call need,packages): installs the missing ones; apt is not used if none is missing
define need
@missing=(); for p in $(1); do \
  dpkg-query -W -f='$${Status}' "$$p" 2>/dev/null | grep -q ' installed$$' || missing+=("$$p"); done; \
if [ $${#missing[@]} -gt 0 ]; then \
  echo "installing with apt-get: $${missing[*]}"; \
  sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
  export DEBIAN_FRONTEND=noninteractive; \
  $$sudo apt-get -q update >/dev/null && \
  $$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$${missing[@]}" >/dev/null \
  || { echo "could not install $${missing[*]}: install them by hand, then run make again" >&2; exit 1; }; fi
endef

.PHONY: all build release demo test lint unit integration bench docs audit fuzz docker-proof deps deps-test deps-demo \
  deps-release deps-bench deps-proof clean

all: build

build: deps
	$(CARGO) build --release --bin spnegate

release: $(PGO)/spnegate

$(PGO)/spnegate: $(SOURCES) | deps-release
	@[ -x "$(PROFDATA)" ] || rustup component add llvm-tools || { \
	  echo "make release needs llvm-profdata at $(PROFDATA): install the component llvm-tools of this" \
	    "toolchain, or build without a profile by make build" >&2; exit 1; }
	rm -rf $(PGO)/raw
	RUSTFLAGS="$(RUSTFLAGS) -Cprofile-generate=$(PGO)/raw" $(CARGO) build --release --bin spnegate \
	  --target $(TRIPLE) --target-dir $(PGO)/counting
	$(CARGO) run --release -p spnegate-integration --bin bench -- \
	  train $(PGO)/counting/$(TRIPLE)/release/spnegate
	"$(PROFDATA)" merge -o $(PGO)/spnegate.profdata $(PGO)/raw
	RUSTFLAGS="$(RUSTFLAGS) -Cprofile-use=$(PGO)/spnegate.profdata" $(CARGO) build --release --bin spnegate \
	  --target $(TRIPLE) --target-dir $(PGO)/final
	cp $(PGO)/final/$(TRIPLE)/release/spnegate $@

demo: deps-demo
	$(CARGO) build --bin spnegate
	$(CARGO) run -p spnegate-integration --bin demo

test: lint unit integration
	@echo "make test: all passed"

lint: deps-test
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items

unit: deps-test
	$(CARGO) test -p spnegate

integration: deps-test
	$(CARGO) build --bin spnegate
	$(CARGO) test -p spnegate-integration -- --test-threads=1 --show-output

bench: deps-bench $(PGO)/spnegate
	$(CARGO) run --release -p spnegate-integration --bin bench -- --gateway $(PGO)/spnegate $(BENCH)

# A warning of mdbook, such as an include that is not found, is an error here. The links are checked by
# tests/docs, without mdbook.
docs:
	mdbook --version 2>/dev/null | grep -q 'v$(MDBOOK_VERSION)' || \
	  $(CARGO) install --locked mdbook --version $(MDBOOK_VERSION)
	set -o pipefail; PATH="$$PATH:$${CARGO_HOME:-$$HOME/.cargo}/bin" mdbook build docs 2>&1 | tee /dev/stderr \
	  | (! grep -q 'WARN\|ERROR')

audit:
	$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-deny
	$(CARGO) fetch --locked
	$(CARGO) deny --offline check licenses bans sources
	$(CARGO) deny check advisories

fuzz:
	cd fuzz && for t in $$($(CARGO) +nightly fuzz list); do \
	  $(CARGO) +nightly fuzz run $$t -- -max_total_time=$(FUZZ_SECONDS) || exit 1; done

docker-proof: deps deps-proof
	$(CARGO) build --bin spnegate
	$(if $(findstring --compose,$(PROOF)),$(CARGO) build -p spnegate-integration --bin lab)
	docker/prove.sh $(PROOF)

deps:
	$(call need,$(BUILD_PACKAGES))
deps-test: deps
	$(call need,$(TEST_PACKAGES))
deps-demo: deps
	$(call need,$(LAB_PACKAGES))
deps-proof:
	$(call need,$(PROOF_PACKAGES))
deps-release: deps
	$(call need,$(RELEASE_PACKAGES))
deps-bench: deps
	$(call need,$(BENCH_PACKAGES))

clean:
	$(CARGO) clean
