# Needs Python 3.11 or newer (with venv) and make; everything else comes from the package registries.

.DEFAULT_GOAL := help
SHELL := /bin/bash

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --require-virtualenv
PROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml)
# The core and every first-party plugin in one pip command, so that they resolve together.
EDITABLE := -e . -e 'plugins/text[gemma]' -e 'plugins/image[diffusers]' \
	$(foreach plugin,$(filter-out plugins/text plugins/image,$(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))),-e $(plugin))
# Extra arguments for pytest, as in: make test ARGS="tests/core -k seed"
ARGS ?=
# Processes that run tests: as many as there are cores, and at least two.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN || echo 2); echo $$((n < 2 ? 2 : n)))
PYTEST = $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

.PHONY: help
help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- environments: a stamp each, made again when its inputs change -----------------------------

$(VENV)/.made: constraints.txt
	@[ -n "$(PYTHON)" ] || { echo "make: no python3 found; install Python 3.11 or newer" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: $(PYTHON) is older than Python 3.11; name another with make PYTHON=..." >&2; exit 1; }
	[ -x $(BIN)/python ] || "$(PYTHON)" -m venv $(VENV)
	$(PIP) install --quiet --upgrade --constraint constraints.txt pip
	@touch $@

$(VENV)/.installed: $(VENV)/.made $(PROJECTS)
	$(PIP) install --constraint constraints.txt $(EDITABLE)
	@touch $@

$(VENV)/.installed-%: $(VENV)/.installed
	$(PIP) install --quiet --constraint constraints.txt --group $*
	@touch $@

.PHONY: install
install: $(VENV)/.installed ## make .venv and install Muniment and its plugins, editable

# ---- everyday ---------------------------------------------------------------------------------

.PHONY: demo
demo: install ## run the main job on a real model, printing each command
	PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/demo.sh

.PHONY: test
test: install $(VENV)/.installed-test ## install what the tests need and run them (ARGS= goes to pytest)
	$(PYTEST) -m "not integration" $(ARGS)

.PHONY: test-integration
test-integration: install $(VENV)/.installed-test ## run the tests that `make test` leaves out: slower, on the real things
	$(PYTEST) -m integration $(ARGS)

.PHONY: test-nightly
test-nightly: install $(VENV)/.installed-test ## kill what writes and installs, ten times as often as `make test-integration`
	MUNIMENT_TEST_KILLS=200 $(PYTEST) tests/store/test_accidents.py \
		tests/installer/test_interruptions.py $(ARGS)

.PHONY: lint
lint: install $(VENV)/.installed-lint ## ruff, mypy (strict, core and plugins) and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The distributions with help texts. One without commands and generators has none.
TRANSLATED = muniment $(addprefix muniment-,analysis image installer recommendation text)

.PHONY: translations
translations: install $(VENV)/.installed-test ## update the catalogues of translated help after a change of help texts
	$(BIN)/python -m muniment.testing.translations $(TRANSLATED)

.PHONY: fmt
fmt: install $(VENV)/.installed-lint ## format the code and apply ruff's automatic fixes
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

# Programs that need arguments, such as two checkouts or a folder of data.
BENCH_BY_HAND = $(addprefix benchmarks/,checkouts.py first_answer.py image_quality.py recommendation_models.py recommendation_quality.py)

.PHONY: bench
bench: install $(VENV)/.installed-lint ## run the benchmarks that need no arguments; each prints one JSON line
	@set -e; for program in $(filter-out $(BENCH_BY_HAND),$(wildcard benchmarks/*.py)); do \
		echo "# $$program" >&2; PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python $$program; done

# ---- now and then -----------------------------------------------------------------------------

.PHONY: pictures
pictures: install ## run the commands on the pictures of terminal sessions (needs tmux; some minutes)
	$(BIN)/python docs/images/make_terminals.py $(ARGS)

.PHONY: constraints
constraints: ## resolve every dependency afresh (torch stays) and rewrite constraints.txt
	rm -rf .cache/constraints && "$(PYTHON)" -m venv .cache/constraints
	grep '^torch==' constraints.txt > .cache/constraints/torch.txt
	.cache/constraints/bin/python -m pip install --quiet --upgrade pip
	.cache/constraints/bin/python -m pip install --quiet --constraint .cache/constraints/torch.txt \
		$(EDITABLE) --group test --group lint
	{ grep '^#' constraints.txt; .cache/constraints/bin/python -m pip freeze --all --exclude-editable \
		| sed -e '/^nvidia-/d' -e '/^triton==/d' -e 's/^torch==\([0-9.]*\).*/torch==\1/' \
		| LC_ALL=C sort -f; } > .cache/constraints/new.txt
	mv .cache/constraints/new.txt constraints.txt
	rm -rf .cache/constraints

.PHONY: clean
clean: ## remove caches and builds
	rm -rf build dist .bench .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .grimp_cache
	find core migrations plugins tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

.PHONY: distclean
distclean: clean ## remove .venv too
	rm -rf $(VENV)
