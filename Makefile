# SPDX-License-Identifier: GPL-2.0-or-later

OBJ := build/obj
PROGRAMS := qemu-system-x86_64 qemu-img qemu-io qemu-nbd \
            storage-daemon/qemu-storage-daemon
# Only if configure has found what it takes
SERVER = $(shell grep -qsw rdma build/qemu/remote-memory-features && \
                 echo remote-memory/memory-server/qemu-memory-server)
CONFIGURED := build/configured
export PREFIX DESTDIR

all: $(CONFIGURED)
	@flock $(OBJ) ninja -C $(OBJ) $(PROGRAMS) $(SERVER)

# Edited sources and meson.build are ninja's business, not a reason to
# configure again.
$(CONFIGURED): configure patches/series $(wildcard patches/*.patch)
	$(eval hint := $(shell scripts/deps --hint build))
	$(if $(hint),$(error $(hint)))
	@./configure --again

deps:
	@scripts/deps all

# PREFIX=/usr/local, DESTDIR= to put that below another directory
install: all
	@scripts/install

install-strip: all
	@scripts/install --strip

uninstall:
	@scripts/install --remove

deb: all
	@scripts/deb

run: deps
	@$(MAKE) all
	@tests/guest/demo

check:
	@scripts/check

# What a peer needs may be missing: its rows are skipped.
bench:
	@scripts/deps build
	@scripts/deps test guest bench || echo 'Note: some rows will be skipped'
	@$(MAKE) all
	@set -f; tests/bench/bench $(if $(filter-out 0,$(QUICK)),--quick) $(ROWS)

# MINUTES=N, SEED=N
soak:
	@scripts/deps build
	@scripts/deps test guest
	@$(MAKE) all
	@tests/guest/test-soak --minutes $(or $(MINUTES),10) $(SEED:%=--seed %)

check-hooks check-functions:
	@scripts/$@

checkpatch: $(CONFIGURED)
	@scripts/checkpatch

clean:
	@[ ! -e $(OBJ)/build.ninja ] || ninja -C $(OBJ) -t clean
	@rm -rf build/check build/bench

distclean:
	@rm -rf build

help:
	@echo 'make            build QEMU and its tools in build/; configure if needed'
	@echo 'make deps       install the packages that building and testing need'
	@echo 'make install    install below PREFIX=/usr/local, in DESTDIR if that is set;'
	@echo '                install-strip without symbols, uninstall to remove it'
	@echo 'make deb        make a Debian package of the same in build/'
	@echo 'make run        from nothing to a guest under memory pressure'
	@echo 'make check      from nothing to all tests; scripts/check SUITE... for some'
	@echo 'make bench      from nothing to measurements against what else there is;'
	@echo '                QUICK=1 for a short run, ROWS="ID..." for some'
	@echo 'make soak       random operations on a busy guest, for MINUTES=10; SEED=N'
	@echo '                to choose the same ones again'
	@echo 'make checkpatch, check-functions, check-hooks'
	@echo '                style, length of functions, size of the patches'
	@echo 'make clean      remove what was built'
	@echo 'make distclean  remove build/, with the downloaded source of QEMU'
	@echo
	@echo 'To choose options, run ./configure first; ./configure --help lists them.'

.PHONY: all deps install install-strip uninstall deb run check bench soak \
        check-hooks check-functions checkpatch clean distclean help
