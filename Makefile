# Everything a person does with a clone. `make` alone lists it.
# VENV is made once and again when pyproject.toml or constraints.txt change.

PYTHON ?= python3
VENV ?= .venv
# What pytest is given besides: TESTS=tests/unit, say.
TESTS ?=
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: aws-emulators aws-smoke help run console console-check console-types screenshots test demo check format lint types bench kill clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

$(VENV)/.run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Longstop needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

# They pin other versions of what the program needs, and so have an environment of their own.
$(VENV)/aws/.made: tests/aws_emulators.txt
	$(PYTHON) -m venv $(VENV)/aws
	$(VENV)/aws/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# What looks at templates; what it asks for besides is a hundred times as much, and is not needed.
$(VENV)/cfn/.made: tests/cfn_tools.txt
	$(PYTHON) -m venv $(VENV)/cfn
	$(VENV)/cfn/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	@touch $@

aws-smoke: $(VENV)/.dev ## the acceptance tests on an account of AWS of your own: AWS_REGION=…; it says what it will make, and asks
	@$(BIN)/python tests/aws_smoke.py

aws-emulators: $(VENV)/aws/.made $(VENV)/cfn/.made ## what tests of AWS need: emulators, and what looks at templates

run: $(VENV)/.run console ## start a gateway on SQLite with the starter configuration
	@test -f longstop.toml || $(BIN)/longstop init
	@exec $(BIN)/longstop serve

console: $(VENV)/.run ## build the browser console, where something of it changed
	@$(BIN)/python console/build.py

console-check: $(VENV)/.run ## the console's types, and the tests of its parts
	@$(BIN)/python console/build.py check

console-types: $(VENV)/.dev ## the console's types, anew from what the API shows
	@$(BIN)/python console/build.py types

screenshots: $(VENV)/.dev console ## the pictures of the console in README.md and docs (takes Chromium and Playwright)
	@$(BIN)/python console/scripts/screenshots.py

demo: $(VENV)/.run ## watch events survive an outage and a kill -9 (under a minute)
	@$(BIN)/longstop demo

test: $(VENV)/.dev ## run every test
	$(BIN)/python -m pytest $(TESTS)

check: $(VENV)/.dev ## format, lint, types and tests: what has to pass before a commit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) --no-print-directory test

format: $(VENV)/.dev ## put the code into its one form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(VENV)/.dev
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

bench: $(VENV)/.dev ## durable ingest beside handlers that store nothing, as ratios
	$(BIN)/python bench/ingest.py

kill: $(VENV)/.dev ## kill -9 the gateway again and again under load (CYCLES=50)
	$(BIN)/python -m pytest tests/faults/test_kill.py -s

clean: ## remove what make made
	rm -rf $(VENV) console/node_modules src/longstop/edges/operators/static .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
