# Everything a developer runs. `make` alone prints this list.

VENV := .venv
PY := $(VENV)/bin/python
DRIP := $(PY) -m drip_pipeline.cli
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# The first interpreter that is new enough; override with `make venv PYTHON=…`.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
RUNTIME := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
# The folders that ruff, mypy and squawk check, where they exist.
SOURCES := $(wildcard drip_pipeline assets sensors benchmarks tests)
ARGS ?=
EXAMPLES ?= 100000

.DEFAULT_GOAL := help
.PHONY: help venv demo test coverage explore fuzz dev bench matrix lint typecheck imports sqllint schema format quick clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(RUNTIME) ## create .venv with what the engine needs to run

demo: $(RUNTIME) ## run the demo campaigns through Dagster on a simulated clock
	@$(DRIP) demo $(ARGS)

test: lint typecheck ## lint, types and all tests, on a PostgreSQL that the tests start
	@$(PY) -m pytest -n 2 -q $(ARGS)

coverage: $(DEV) ## run all tests and report the lines they do not reach
	@$(PY) -m pytest -n 2 -q --cov --cov-report=term:skip-covered --cov-report=html:build/coverage $(ARGS)

explore: $(DEV) ## run the property tests on new cases; what fails is simplified
	@$(PY) -m pytest -n 2 -q -m hypothesis --hypothesis-profile explore --timeout 0 $(ARGS)

fuzz: $(DEV) ## run the fuzz targets for long: EXAMPLES cases each
	@FUZZ_EXAMPLES=$(EXAMPLES) $(PY) -m pytest -q tests/fuzz --timeout 0 --durations=20 $(ARGS)

dev: $(RUNTIME) ## run the Dagster UI on localhost with the sensors on
	@$(DRIP) up $(ARGS)

bench: $(DEV) ## run the benchmarks; prints ratios
	@$(PY) -m benchmarks $(ARGS)

matrix: $(DEV) ## run a campaign on each PostgreSQL, pooler, schema and role of this machine
	@$(PY) -m tests.poolers.matrix

lint: $(DEV) ## check style, import rules and SQL
	@$(PY) -m ruff check --quiet $(SOURCES)
	@$(PY) -m ruff format --check --quiet $(SOURCES) || { echo "make format would change files"; exit 1; }
	@$(MAKE) --no-print-directory imports sqllint

imports: $(DEV) ## check the import rules between packages
	@$(VENV)/bin/lint-imports --no-cache >$(VENV)/imports.log 2>&1 || { cat $(VENV)/imports.log; exit 1; }

sqllint: $(DEV) ## check the migrations
	@$(VENV)/bin/squawk --reporter gcc sql/migrations/*.sql >$(VENV)/sql.log 2>&1 || { cat $(VENV)/sql.log; exit 1; }

schema: $(DEV) ## write sql/schema.sql from the migrations
	@$(PY) -m tests.db.schema.write_schema

typecheck: $(DEV) ## check types with mypy (strict)
	@$(PY) -m mypy --no-error-summary $(SOURCES)

format: $(DEV) ## format the code
	@$(PY) -m ruff check --fix --quiet $(SOURCES); $(PY) -m ruff format --quiet $(SOURCES)

quick: $(DEV) ## run only the tests that need no database
	@$(PY) -m pytest -q tests/domain tests/experiments tests/channels tests/settings tests/architecture $(ARGS)

clean: ## remove caches; keeps .venv and the data in .drip
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage build *.egg-info
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is required but was not found."; exit 1; }
	@echo "creating $(VENV) with $(PYTHON)" >&2
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot create virtual environments; on Debian, install python3-venv."; exit 1; }

$(RUNTIME): pyproject.toml constraints.txt | $(PY)
	@echo "installing the packages in $(VENV) (a minute or two the first time)" >&2
	@$(PIP) --editable .
	@touch $@

# Includes the engines that the benchmarks compare with, because mypy checks that code too.
$(DEV): $(RUNTIME)
	@echo "installing the packages for tests in $(VENV)" >&2
	@$(PIP) --editable '.[dev,bench]'
	@touch $@
