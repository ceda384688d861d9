# SPDX-License-Identifier: Apache-2.0
# Everything runs from a clean clone on Debian with base, make, gcc and Python 3.11 or newer.
#
#   sudo make demo      leak a known number of kernel objects and find them
#   make test           lint, types, unit tests; as root the live tests too, quiet and beside noise
#   sudo make verdict   leaks and flat loads whose truth is known, recorded and judged (three hours)
#   sudo make install   put `slabtrace` where `sudo slabtrace record` finds it
#   sudo make install-service   also the unit of `slabtrace watch`; it does not start it
#
# deps lint unit bench kernels releases dist deb lock uninstall clean: see below.

PYTHON   ?= $(INSTALL_PYTHON)
PREFIX   ?= /usr/local
OPT      ?= /opt/slabtrace
UNITS    ?= $(PREFIX)/lib/systemd/system
VENV     := .venv
BIN      := $(VENV)/bin
# Debian's own Python, where it will do: unlike root's pyenv, every user can run it.  The tests run on it too.
INSTALL_PYTHON ?= $(shell /usr/bin/python3 $(NEW_ENOUGH) 2>/dev/null && echo /usr/bin/python3 || echo python3)

NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
# A Python of one's own brings venv along; Debian's needs a package for it.
VENV_DEB = $(shell $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv)
LIVE_DEB := python3-bpfcc
LAB_DEB  := qemu-system-x86 busybox-static cpio # boot other kernels
BUILD_DEB := bc bison flex libelf-dev xz-utils # build a kernel that no package has
RELEASES_DEB := debootstrap gcc
TEST_DEB := binutils chromium golang-go groff-base llvm prometheus tmux $(LAB_DEB) # read back what slabtrace writes; source lines

# With sudo in somebody else's checkout, the files made in it stay that person's.
ROOT  := $(filter 0,$(shell id -u))
OWNER := $(filter-out root UNKNOWN,$(shell stat -c %U .))
ifneq ($(and $(ROOT),$(OWNER)),)
AS_OWNER := runuser -u $(OWNER) -- env HOME=$(shell getent passwd $(OWNER) | cut -d: -f6)
export PYTHONDONTWRITEBYTECODE := 1
PYTEST_FLAGS := -p no:cacheprovider
endif

.DEFAULT_GOAL := help
.PHONY: help deps lint unit test demo verdict install install-service uninstall bench kernels releases dist deb lock need-root clean

help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

# Not root: only what the unit tests need has to be there.
deps:
	@$(PYTHON) $(NEW_ENOUGH) || \
	{ echo "slabtrace: $(PYTHON) is older than 3.11; choose another: make PYTHON=/path/to/python3" >&2; exit 1; }
	@tools/apt-need $(VENV_DEB) $(if $(ROOT),$(LIVE_DEB))

# Users get ranges (pyproject.toml), development what constraints.txt pins.
$(VENV)/.stamp: pyproject.toml constraints.txt | deps
	$(AS_OWNER) $(PYTHON) -m venv --clear $(VENV)
	$(AS_OWNER) $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --editable '.[dev]'
	$(AS_OWNER) touch $@

lint: $(VENV)/.stamp
	$(AS_OWNER) $(BIN)/ruff check .
	$(AS_OWNER) $(BIN)/ruff format --check .
	$(AS_OWNER) $(BIN)/mypy
	find bpf tests benchmarks -name '*.[ch]' | xargs -r $(BIN)/clang-format --dry-run -Werror

unit: $(VENV)/.stamp
	$(AS_OWNER) $(BIN)/python -m pytest -n auto --dist loadfile tests/unit

# The unit tests, the live tests, and these once more beside other work on all CPUs; pytest's closing lines
# of the three runs come last. Without root the live tests skip, saying so.
test: lint
	@$(if $(ROOT),tools/apt-need $(TEST_DEB))
	$(BIN)/python -m tests.runs $(PYTEST_FLAGS)

demo: need-root $(VENV)/.stamp
	$(BIN)/slabtrace demo --force

verdict: need-root $(VENV)/.stamp
	@tools/apt-need $(LIVE_DEB)
	$(BIN)/python -m tests.verdict --times 3

bench: $(VENV)/.stamp
	$(BIN)/python -m benchmarks

# Debian kernels in QEMU: make kernels K=6.12, or all of them.  K=7-lockdep is built once, which takes long.
kernels: need-root $(VENV)/.stamp
	tools/apt-need $(LIVE_DEB) $(LAB_DEB) $(if $(findstring lockdep,$(K)),$(BUILD_DEB))
	$(BIN)/python -m tests.kernels $(K)

# Debian 12, 13 and unstable, each in a folder, with its own bcc: make releases R=sid, or all of them.
releases: need-root $(VENV)/.stamp
	tools/apt-need $(LIVE_DEB) $(RELEASES_DEB)
	$(BIN)/python -m tests.releases $(R)

# The newest of everything that pyproject.toml allows, for every Python it allows.
lock: | deps
	$(AS_OWNER) $(PYTHON) -m venv --clear build/lock
	$(AS_OWNER) build/lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(AS_OWNER) build/lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --extra dev \
		--no-header --no-annotate -o constraints.txt pyproject.toml

dist: $(VENV)/.stamp
	$(AS_OWNER) $(BIN)/python -m hatchling build -c -d dist

# For the Debian release it is made on: sudo apt install ./dist/slabtrace_*.deb
deb: dist
	@tools/apt-need $(VENV_DEB)
	$(AS_OWNER) tools/make-deb dist/*.whl dist

# umask: for all to run and for root alone to change, whatever root's own is
install: need-root dist
	tools/apt-need $(LIVE_DEB) $(if $(filter /usr/bin/python3,$(INSTALL_PYTHON)),python3-venv)
	umask 022 && $(INSTALL_PYTHON) -m venv --clear $(OPT)
	umask 022 && $(OPT)/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl
	umask 022 && mkdir -p $(PREFIX)/bin $(PREFIX)/share/man/man1
	ln -sfn $(OPT)/bin/slabtrace $(PREFIX)/bin/slabtrace
	ln -sfn $(OPT)/share/man/man1/slabtrace*.1 $(PREFIX)/share/man/man1/
	$(PREFIX)/bin/slabtrace --version

# The user, the unit and, if there is none, the configuration of `slabtrace watch`; nothing is started.
install-service: install
	$(OPT)/bin/python -m pip install --quiet --disable-pip-version-check 'prometheus-client>=0.21'
	id -u slabtrace >/dev/null 2>&1 || \
	useradd --system --user-group --no-create-home --home-dir /var/lib/slabtrace --shell /usr/sbin/nologin slabtrace
	install -D -m 644 deploy/systemd/slabtrace-watch.service $(UNITS)/slabtrace-watch.service
	sed -i 's|/usr/local/bin/slabtrace|$(PREFIX)/bin/slabtrace|' $(UNITS)/slabtrace-watch.service
	test -e /etc/slabtrace.toml || install -m 644 deploy/systemd/slabtrace.toml /etc/slabtrace.toml
	test ! -d /run/systemd/system || systemctl daemon-reload
	@echo "edit /etc/slabtrace.toml, then: systemctl enable --now slabtrace-watch"

uninstall: need-root
	test ! -d /run/systemd/system || systemctl disable --now slabtrace-watch 2>/dev/null || true
	rm -f $(UNITS)/slabtrace-watch.service
	rm -rf $(OPT) $(PREFIX)/bin/slabtrace $(PREFIX)/share/man/man1/slabtrace.1 $(PREFIX)/share/man/man1/slabtrace-*.1

need-root:
	@$(if $(ROOT),,echo "slabtrace: this needs root: sudo make $(MAKECMDGOALS)" >&2; exit 1)

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
