# make demo   builds, and shows what Plywood does on an image made of this machine's own files
# make test   installs the few Debian packages the tests need, if missing, then runs everything
# make soak STEPS=N [SEED=N]   N random steps on each driver, compared with the oracle in memory after each; then faults-soak
# make faults-soak ROUNDS=N OPERATIONS=N [SEED=N]   N rounds of killed processes, N operations of each of 64 processes, every system call
#              of every operation failing, a store of 100,000 layers (tests/faults)
# make lint   rustfmt, clippy and rustdoc, with warnings as errors
# make deny   licences, bans and sources of all crates, by cargo-deny (takes minutes to build the first time)
# make fuzz SECONDS=20   every fuzz target for so many seconds (fuzz/README.md)
# make vm-test CASE=overlay2::mounting   the conformance cases of that name in a virtual machine that has Debian's kernel (tests/vm)
# make vm-shell  a shell there, with the program `plywood`
# make engines-soak   containerd under load: 10 imports at once and 200 containers on every driver
# make fuse-soak  fuse-union under load: memory over a million files, files that come and go for an hour (FUSE_SECONDS=3600)
# make fuse-bench PEERS="--peer NAME=PROGRAM"   fuse-union beside the kernel's overlayfs and others: a table
# make corpus-test CORPUS=DIR   the large image: the mounted tree against an independent tool, memory, speed
.PHONY: all demo test soak faults-soak lint deny packages fuzz vm-packages vm-test vm-shell corpus-test engines-soak fuse-soak fuse-bench

CARGO ?= cargo
SECONDS ?= 20
# What can be built in here beyond the default: ISA-L, where its tools are. `make FEATURES=` builds without.
FEATURES = $(shell scripts/features)
ISAL = --package plywood-sys --package plywood-archive --features isal
PACKAGES = acl attr autoconf automake btrfs-progs buildah busybox-static chromium containerd e2fsprogs fuse3 gzip libtool make nasm perl podman \
	python3 runc strace tar uidmap util-linux xfsprogs zstd
# What the virtual machine takes, and what is brought into it.
VM_PACKAGES = busybox-static cpio dmsetup e2fsprogs kmod qemu-system-x86 thin-provisioning-tools

all:
	$(CARGO) build --release --package plywood --package plywood-fuse-union $(FEATURES)

demo:
	@$(CARGO) build --release --quiet $(FEATURES)
	@scripts/demo target/release/plywood

test: packages
	$(CARGO) test --workspace --all-targets --no-fail-fast
	$(CARGO) test --workspace --doc --quiet
	$(if $(FEATURES),$(CARGO) test $(ISAL) --all-targets)

# Sequences that fail are made shorter and written down: see drivers/conformance/src/oracle/mod.rs.
soak: STEPS ?= 100000
soak: SEED ?= $(shell date +%s)
soak:
	PLYWOOD_ORACLE_STEPS=$(STEPS) PLYWOOD_ORACLE_SEED=$(SEED) \
		$(CARGO) test --release --quiet --test oracle -- oracle::random
	$(MAKE) faults-soak

faults-soak: ROUNDS ?= 10000
faults-soak: OPERATIONS ?= 1000
faults-soak: SEED ?= $(shell date +%s)
faults-soak: packages
	PLYWOOD_FAULTS_SEED=$(SEED) PLYWOOD_FAULTS_ROUNDS=$(ROUNDS) PLYWOOD_FAULTS_OPERATIONS=$(OPERATIONS) PLYWOOD_FAULTS_SAMPLE=0 PLYWOOD_FAULTS_LAYERS=100000 \
		$(CARGO) test --release --test faults -- --nocapture --test-threads 1

lint:
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	$(if $(FEATURES),$(CARGO) clippy $(ISAL) --all-targets --quiet -- -D warnings)
	$(CARGO) clippy --manifest-path fuzz/Cargo.toml --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet

packages:
	@scripts/packages $(PACKAGES)

vm-packages:
	@scripts/packages $(PACKAGES) $(VM_PACKAGES)

vm-test: vm-packages
	$(CARGO) test --no-run --test conformance
	tests/vm/machine --file "$$(scripts/test-binary conformance)=/conformance" -- /conformance $(CASE)

vm-shell: vm-packages
	$(CARGO) build --quiet
	tests/vm/machine --shell --file "$$(scripts/test-binary plywood)=/bin/plywood"

deny:
	command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny check licenses bans sources

fuzz:
	@scripts/packages g++ python3
	@FUZZ_SEED=$(SEED) scripts/fuzz $(SECONDS)

engines-soak: packages
	PLYWOOD_ENGINES_IMAGES=10 PLYWOOD_ENGINES_CONTAINERS=200 $(CARGO) test --test engines -- --nocapture load::

fuse-soak: FUSE_SECONDS ?= 3600
fuse-soak: packages
	PLYWOOD_FUSE_FILES=1000000 PLYWOOD_FUSE_SECONDS=$(FUSE_SECONDS) PLYWOOD_FUSE_MEBIBYTES=4096 PLYWOOD_FUSE_STALL_MILLISECONDS=100 \
		$(CARGO) test --release --package plywood-fuse-union --test endurance -- --nocapture --test-threads=1

# Takes some minutes; the machine should have nothing else to do.
fuse-bench:
	$(CARGO) bench --package plywood-fuse-union --bench table -- $(PEERS)

corpus-test:
	$(CARGO) build --release --quiet $(FEATURES)
	scripts/corpus-test target/release/plywood $(CORPUS)
