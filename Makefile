# make demo   builds, and shows what Plywood does on an image made of this machine's own files
# make test   installs the few Debian packages the tests need, if missing, then runs everything
# make lint   rustfmt, clippy and rustdoc, with warnings as errors
# make deny   licences, bans and sources of all crates, by cargo-deny (takes minutes to build the first time)
# make corpus-test CORPUS=DIR   the large image: the mounted tree against an independent tool, memory, speed
.PHONY: all demo test lint deny packages corpus-test

CARGO ?= cargo
PACKAGES = acl attr gzip python3 strace tar util-linux xfsprogs zstd

all:
	$(CARGO) build --release

demo:
	@$(CARGO) build --release --quiet
	@scripts/demo target/release/plywood

test: packages
	$(CARGO) test --workspace --all-targets --no-fail-fast
	$(CARGO) test --workspace --doc --quiet

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet

packages:
	@scripts/packages $(PACKAGES)

deny:
	command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny check licenses bans sources

corpus-test:
	$(CARGO) build --release --quiet
	scripts/corpus-test target/release/plywood $(CORPUS)
