# `make bench` and `make test` are all a user needs: each sets everything up in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
FOLDERS := include ring pvdrivers backends frontends tools
SOURCES := $(shell find $(FOLDERS) -name __pycache__ -prune -o -type f -print) CMakeLists.txt pyproject.toml README.md LICENSE

.PHONY: bare bench compare instructions test install tools check c-test fuzz soak docs dist lab oracles clean

install: $(VENV)/installed

tools: $(VENV)/tools

$(VENV)/tools: pyproject.toml prerequisites
	@./prerequisites $(PYTHON)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install 'scikit-build-core>=0.11' 'cffi>=1.17' 'cmake>=3.25' 'ninja>=1.11' 'clang-format>=18,<19'
	$(PIP) install --group test
	@touch $@

# What only some targets need, by the name of its dependency group.
$(VENV)/group-%: $(VENV)/tools
	$(PIP) install --group $*
	@touch $@

# A .venv that is not whole (an interrupted one, or one whose Python is gone) is made again.
ifeq ($(shell $(BIN)/python -m pip --version 2>/dev/null),)
.PHONY: $(VENV)/tools
endif

# The build folder stays, so that a second install compiles only what changed.
$(VENV)/installed: $(VENV)/tools $(SOURCES)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PIP) install --no-build-isolation .
	@touch $@

BENCHDISK = $(if $(IMAGE),--filename '$(IMAGE)',--make-image build/bench.img)
# BENCHFLAGS are for all, VBDFLAGS, SCSIFLAGS and VNIFFLAGS for one.
bench: install
	@$(BIN)/python -m pvdrivers.tools.pvbench vbd $(BENCHDISK) $(BENCHFLAGS) $(VBDFLAGS)
	@$(BIN)/python -m pvdrivers.tools.pvbench scsi $(BENCHDISK) $(BENCHFLAGS) $(SCSIFLAGS)
	@$(BIN)/python -m pvdrivers.tools.pvbench vnif $(BENCHFLAGS) $(VNIFFLAGS)

# Ours beside every competitor that is there. What is missing is asked of Debian for root, one package
# after the other: where one cannot be had, the others can.
compare: install
	@missing=$$($(BIN)/pvbench compare --packages $(COMPAREFLAGS)) || exit; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ]; then \
		echo "Installing" $$missing >&2; \
		export DEBIAN_FRONTEND=noninteractive; \
		{ apt-get update; for package in $$missing; do \
			apt-get install -y --no-install-recommends $$package; \
		done; } >/dev/null 2>&1; \
		missing=$$($(BIN)/pvbench compare --packages $(COMPAREFLAGS)); \
	fi; \
	test -z "$$missing" || \
		echo "Left out are the rows that need a Debian package:" $$missing >&2
	@$(BIN)/pvbench compare --html build/compare.html $(COMPAREFLAGS)

# Instructions per request of each pump against the committed baseline.
instructions: tools
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python benchmarks/instructions/check.py $(INSTRUCTIONSFLAGS)

test: check c-test $(VENV)/group-docs $(VENV)/group-dist
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest $(PYTESTFLAGS)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p pvdrivers
	find $(FOLDERS) benchmarks tests '(' -name '*.[ch]' -o -name '*.cpp' ')' -print0 | xargs -0 $(BIN)/clang-format --dry-run --Werror

# C unit tests: everything under ASan and UBSan, and the tests of what threads share under TSan too.
c-test: tools
	PATH="$(CURDIR)/$(BIN):$$PATH" tests/run_c_tests address,undefined
	PATH="$(CURDIR)/$(BIN):$$PATH" tests/run_c_tests thread

# Every fuzz target for so many seconds; see docs/fuzzing.md.
FUZZSECONDS ?= 20
fuzz: install $(VENV)/group-fuzz
	PATH="$(CURDIR)/$(BIN):$$PATH" tests/run_fuzzers $(FUZZSECONDS) $(FUZZFLAGS)

# Hours of virtual time of the network device, from a seed: make soak SOAKFLAGS='--hours 24 --seed 7'
soak: install
	$(BIN)/python tests/soak $(SOAKFLAGS)

# What pages show of the code, and the site. A warning fails it, and a broken link is one.
docs: install $(VENV)/group-docs
	$(BIN)/python docs/generate.py
	$(BIN)/sphinx-build -E -q -W --keep-going -c docs -d build/site-doctrees . build/site
	@echo "The site is build/site/index.html"

# A source distribution, and a wheel that is built from it alone and runs on other distributions.
dist: $(VENV)/group-dist
	rm -rf dist build/dist
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m build --outdir build/dist .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/auditwheel repair --wheel-dir dist build/dist/*.whl
	mv build/dist/*.tar.gz dist

# A real Xen with a Linux guest, emulated; see docs/lab.md.
lab: tools
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tests/lab/lab.py build/lab $(STEPS)

# Our disk and other people's, which run in a guest under emulation, answer the same SCSI commands;
# see docs/measurements/scsi-oracles.md.
oracles: install
	$(BIN)/python tests/oracles/oracles.py build/oracles

# README followed on a Debian with nothing but make and python3. Needs root and debootstrap. All
# of it: make bare BARE='"make bench" "make test"'
BARE ?= "make bench BENCHFLAGS=--runtime=1"
bare: tools
	$(BIN)/python tests/bare/bare.py build/bare $(BARE)

clean:
	rm -rf build dist $(VENV)
