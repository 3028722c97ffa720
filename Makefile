# The interface of this project. Every target sets up what it needs.
.DEFAULT_GOAL := help
BIN := .venv/bin
export PYTHONDONTWRITEBYTECODE := 1

# Importing Locust patches sockets, so the load kit's tests have a process of their own.
FAST_TESTS := tests/unit tests/contracts tests/properties --ignore=tests/unit/loadtests

.PHONY: help
help: ## Say what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: setup
setup: ## Make the virtual environment (.venv)
	@scripts/setup.sh

.PHONY: demo
demo: setup ## Run the smoke gameday on a real four-validator chain and say where the report is
	$(BIN)/gameday run smoke

.PHONY: test
test: check test-go test-e2e ## Run every test, those on the real chain included

.PHONY: check
check: setup ## Lint, types, import rules and the fast tests: under a minute
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -q $(FAST_TESTS)
	$(BIN)/pytest -q tests/unit/loadtests

.PHONY: test-go
test-go: setup ## Run the chain's own tests
	@scripts/go_test.sh

.PHONY: test-e2e
test-e2e: setup ## Run the tests on the real chain alone
	$(BIN)/pytest -q tests/e2e --durations=10

.PHONY: bench
bench: setup ## Measure what the project claims; prints figures, asserts nothing
	$(BIN)/python -m benchmarks

.PHONY: format
format: setup ## Format the code
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format --quiet .

.PHONY: lock
lock: setup ## Pin the newest versions that pyproject.toml allows (needs uv)
	uv pip compile --universal --generate-hashes --python-version 3.11 --group dev pyproject.toml -o requirements/lock.txt

.PHONY: clean
clean: ## Delete the virtual environment, caches and runs; devnets are ended with `gameday devnet down --all`
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info runs
