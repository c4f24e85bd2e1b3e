# The short way to everything; Meson and Ninja do the work below. `make help` lists the targets.
#
#   PREFIX=/usr/local   where `make install` puts the programs
#   FUZZ_SECONDS=20     how long `make fuzz` runs each target
#   SOAK_SECONDS=600    how long `make soak` lasts
#   SEED= SECONDS=5     of `make sim`: one seed, or how long new ones are drawn
#   BUGS= BUG_SECONDS=300   of `make sim-bugs`: names of bugs (all), and how long for each
#   SANITIZED="--no-suite slow"     `make asan`, `make tsan`: all tests, not the unit tests only
#   TESTS=              names of tests for `make test`, `make asan`, `make tsan`, `make k8s-test`; empty for all
#   K8S_LAB=../shared/k8s-lab       scripts that run a real Kubernetes on this machine

MESON ?= meson
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 20
SOAK_SECONDS ?= 600
TESTS ?=
K8S_LAB ?= ../shared/k8s-lab
SANITIZED ?= --suite unit
SEED ?=
SECONDS ?= 5
BUG_SECONDS ?= 300
BUGS ?=

# What is missing of these is installed through apt by `make deps`.
DEPS_BUILD = gcc libc6-dev meson ninja-build pkg-config libuv1-dev libnghttp2-dev libprotobuf-c-dev \
	protobuf-c-compiler libjansson-dev libyaml-dev libhttp-parser-dev libssl-dev zlib1g-dev libcrypt-dev libjwt-dev
DEPS_TEST = libcmocka-dev python3 python3-grpcio python3-protobuf python3-yaml protobuf-compiler curl xz-utils dnsmasq-base iproute2 openssl
DEPS_FUZZ = clang llvm libclang-rt-14-dev
DEPS_BENCH = nghttp2-client

SANITIZE = -Db_lundef=false --buildtype=debugoptimized -Dwerror=false

all: build/build.ninja            ## release programs in bin/
	@ninja -C build
	@DESTDIR=$(CURDIR)/build/stage $(MESON) install -C build --no-rebuild --quiet
	@mkdir -p bin
	@find build/stage -type f -path '*/bin/*' -exec cp -f {} bin/ \; 2>/dev/null; ls bin | sed 's,^,bin/,'

run: deps-build all               ## install what is missing, build, start a node on http://localhost:2379
	@tools/run

test: deps-test build/.tests      ## build and run all tests
	@ninja -C build
	@$(MESON) test -C build --no-rebuild --print-errorlogs --no-suite slow -t 3 $(TESTS)

slow: deps-test build/.tests      ## the tests that take minutes
	@ninja -C build
	@$(MESON) test -C build --no-rebuild --print-errorlogs --suite slow -t 3 $(TESTS)

asan: deps-test                   ## unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@[ -f build-asan/build.ninja ] || $(MESON) setup build-asan -Db_sanitize=address,undefined $(SANITIZE)
	@ninja -C build-asan
	@UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1" \
		$(MESON) test -C build-asan --no-rebuild --print-errorlogs $(SANITIZED) -t 5 $(TESTS)

tsan: deps-test                   ## unit tests under ThreadSanitizer
	@[ -f build-tsan/build.ninja ] || $(MESON) setup build-tsan -Db_sanitize=thread $(SANITIZE)
	@ninja -C build-tsan
	@TSAN_OPTIONS="suppressions=$(CURDIR)/tests/tsan.supp $(TSAN_OPTIONS)" \
		$(MESON) test -C build-tsan --no-rebuild --print-errorlogs $(SANITIZED) -t 10 $(TESTS)

sim: deps-test build/.tests       ## whole clusters in a simulator: new seeds for SECONDS, or SEED
	@ninja -C build tests/sim/sim
	@build/tests/sim/sim $(if $(SEED),-s $(SEED),-t $(SECONDS))

sim-bugs: deps-test               ## every deliberate bug must be found by a seed within BUG_SECONDS
	@[ -f build-bugs/build.ninja ] || $(MESON) setup build-bugs -Dbugs=true
	@ninja -C build-bugs tests/sim/sim tests/sim/sim_hang tests/sim/sim_odd
	@tests/sim/bugs.sh build-bugs/tests/sim/sim $(BUG_SECONDS) $(BUGS)

fuzz: deps-fuzz                   ## every fuzz target for FUZZ_SECONDS
	@[ -f build-fuzz/build.ninja ] || CC=clang $(MESON) setup build-fuzz -Dfuzz=true \
		-Db_sanitize=address,undefined $(SANITIZE)
	@ninja -C build-fuzz $$(ninja -C build-fuzz -t targets all | sed -n 's,^\(tests/fuzz/fuzz_[a-z0-9_]*\):.*,\1,p')
	@tools/fuzz build-fuzz $(FUZZ_SECONDS)

soak: all                         ## ten minutes of mixed load: memory, descriptors and threads must not grow
	@tests/soak/soak.py --ours bin/etcd --seconds $(SOAK_SECONDS)

valgrind: all                     ## a short run of the server under memcheck: no error, no leak
	@tools/deps $(DEPS_TEST) valgrind
	@tests/soak/soak.py --ours bin/etcd --seconds 20 --valgrind

oracle:                           ## Go etcd, etcdctl, etcdutl and bbolt in build-oracle/, to compare with
	@if command -v go >/dev/null; then \
		mkdir -p build-oracle && cd tests/tools && \
		go build -o ../../build-oracle/etcd go.etcd.io/etcd/server/v3 && \
		go build -o ../../build-oracle/etcdctl go.etcd.io/etcd/etcdctl/v3 && \
		go build -o ../../build-oracle/etcdutl go.etcd.io/etcd/etcdutl/v3 && \
		go build -o ../../build-oracle/bbolt go.etcd.io/bbolt/cmd/bbolt; \
	else echo "oracle: no Go here; the tests that compare with Go etcd will be skipped"; fi

helm:                             ## helm in build-oracle/, for the chart's tests (needs Go)
	@command -v go >/dev/null && GOBIN=$(CURDIR)/build-oracle go install helm.sh/helm/v3/cmd/helm@v3.19.5 || \
		echo "helm: no Go here; the chart's tests need another helm in PATH"

MINIO = github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
s3-servers:                       ## MinIO and versitygw in build-oracle/, for tests/kube/s3.py (needs Go; 3 GB of its caches)
	@mkdir -p build-oracle
	@CGO_ENABLED=0 GOBIN=$(CURDIR)/build-oracle go install github.com/versity/versitygw/cmd/versitygw@v1.8.0
	@dir=$$(go mod download -json $(MINIO) | sed -n 's/.*"Dir": "\(.*\)",/\1/p') && copy=$$(mktemp -d) && cp -r $$dir/. $$copy && \
		chmod -R u+w $$copy && (cd $$copy && CGO_ENABLED=0 go build -o $(CURDIR)/build-oracle/minio .) && rm -rf $$copy

bench: deps-bench all oracle      ## ours against Go etcd on this machine
	@bench/run --ours bin/etcd --go build-oracle/etcd --write docs/benchmarks.md

k8s-test: all oracle              ## scenarios on a real Kubernetes (docs/k8s-test.md): root, a lab in K8S_LAB, 2 GB of disk
	@K8S_LAB=$(K8S_LAB) tests/k8s/run.py --ours bin --go build-oracle --report build/k8s-test.txt $(TESTS)

install: all                      ## into PREFIX
	@install -d $(DESTDIR)$(PREFIX)/bin
	@install -m 755 bin/* $(DESTDIR)$(PREFIX)/bin/
	@find build/stage -path '*/man1/*.1' -exec install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man1 {} +
	@ls bin | sed 's,^,$(DESTDIR)$(PREFIX)/bin/,'

clean:                            ## remove all that was built, the oracle aside
	@rm -rf build build-asan build-tsan build-bugs build-fuzz bin

build/build.ninja:
	@$(MESON) setup build --buildtype=release --prefix=$(PREFIX)

# The build may be from before their libraries were installed (`make run`), and then has no tests.
build/.tests: | build/build.ninja
	@$(MESON) setup --reconfigure build -Dtests=enabled >/dev/null
	@touch $@

deps: deps-build deps-test deps-fuzz deps-bench  ## install all packages that anything here needs
deps-build:
	@tools/deps $(DEPS_BUILD)
deps-test:
	@tools/deps $(DEPS_BUILD) $(DEPS_TEST)
deps-fuzz:
	@tools/deps $(DEPS_BUILD) $(DEPS_TEST) $(DEPS_FUZZ)
deps-bench:
	@tools/deps $(DEPS_BENCH)

help:                             ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 10

.PHONY: all run test slow asan tsan sim sim-bugs fuzz soak valgrind oracle helm s3-servers bench k8s-test install clean deps deps-build deps-test deps-fuzz \
	deps-bench help
