# Everything a person or a machine does with a checkout. Each target makes the environment it needs.

PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

INSTALL = $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint types imports pytest soak bench audit ui clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(STAMP) ## Forecast simulated posts from import to promotion, in a folder of its own
	@$(BIN)/clipcast demo

test: lint types imports pytest ## Check everything: lint, types, imports between rooms, tests

lint: $(STAMP) ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## Check types, strictly
	$(BIN)/mypy

imports: $(STAMP) ## Check which room imports which
	$(BIN)/lint-imports --no-logo --no-cache

pytest: $(STAMP) ## Run the tests alone, two files at a time
	$(BIN)/python -m pytest -n 2 --dist loadfile

soak: $(STAMP) ## Kill and race real processes for minutes on end
	$(BIN)/python -m pytest -m soak

bench: $(STAMP) ## Measure speed and memory
	$(BIN)/python benchmarks/run.py

audit: $(VENV)/audit/.installed ## Look up known vulnerabilities of every pinned package; needs the network
	@$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip -r constraints.txt || { \
		echo "the audit found something, or could not ask about every package: the lines above say which" >&2; exit 1; }

ui: $(STAMP) ## Open runs and versions in the browser
	@$(BIN)/clipcast ui

clean: ## Remove the environment and the caches; data and workspace stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) > /dev/null || { \
		echo "clipcast needs Python 3.11 or 3.12, and there is no $(PYTHON) here:" \
			"install it, or name yours: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || { \
		echo "clipcast needs Python 3.11 or 3.12, and $(PYTHON) is another: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing clipcast and its tools into $(VENV): once, 3 to 5 minutes ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) --upgrade pip # the one that comes with Python takes twice as long
	@$(INSTALL) -e '.[dev]'
	@touch $@

# pip-audit has an environment of its own, since what it needs is no part of clipcast.
$(VENV)/audit/.installed: pyproject.toml constraints.txt
	@test -x $(VENV)/audit/bin/python || $(PYTHON) -m venv $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt --upgrade pip
	@$(VENV)/audit/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt --group audit
	@touch $@
