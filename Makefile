# Short names for the commands of this repository. CONTRIBUTING.md says what they are for and how long they take.
# Each command sets up .venv first, where something is missing.

VENV ?= .venv
export UVR_VENV = $(VENV)
PYTHON = $(VENV)/bin/python
READY = bash -c '. local/bootstrap.sh; bootstrap_for_tests'

.DEFAULT_GOAL := help
.PHONY: help setup console format lint unit integration crash test all bench soak docs lock

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | column -t -s '	'

setup: ## make .venv with everything that development needs
	@$(READY)

console: setup ## build the page that the api serves at /
	console/build.sh

format: setup ## sort the imports and lay out the code
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

lint: ## check the style, the order of the imports and the types
	./lint.sh

unit: ## lint, then the tests that start no servers
	./run_tests.sh tests/unit

integration: ## lint, then the tests with a real Kafka, store and processes, hostile files and hosts included
	./run_tests.sh --all tests/integration tests/hostile

crash: ## lint, then the tests that kill and freeze processes
	./run_tests.sh --all tests/crash

test: ## lint, then every test but the slow ones
	./run_tests.sh

all: ## lint, then every test
	./run_tests.sh --all

bench: setup ## measure this machine's throughput
	bash -c '. local/bootstrap.sh; bootstrap requirements-bench.txt'
	$(PYTHON) -m bench

soak: setup ## a thousand songs while processes are killed and frozen
	$(PYTHON) -m soak

docs: setup ## renew the table of licences, then hold README and docs against the code
	$(PYTHON) -m tests.support.licences
	$(PYTHON) -m pytest -q tests/unit/repository

lock: setup ## pin again what pyproject.toml's dependency groups name
	UV=$(abspath $(VENV))/bin/uv requirements/compile.sh
