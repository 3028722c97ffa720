# The interface of this project. Every target sets up what it needs.
.DEFAULT_GOAL := help
BIN := .venv/bin
# Without compiled files, collecting the tests takes twice as long.
unexport PYTHONDONTWRITEBYTECODE

# Importing Locust patches sockets, so the load kit's tests have a process of their own.
KIT_TESTS := tests/unit/loadtests
UNIT_TESTS := tests/unit tests/contracts tests/golden --ignore=$(KIT_TESTS)

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
test: lint test-unit test-go test-e2e ## Run every test, those on the real chain included

.PHONY: check
check: lint ## Lint, types, import rules and the fast tests: under a minute
	@$(MAKE) --no-print-directory -j2 --output-sync=target check-unit check-kit

.PHONY: lint
lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: check-unit check-kit
check-unit:
	$(BIN)/pytest -q -m "not slow" -n 2 --dist loadfile $(UNIT_TESTS)
check-kit:
	$(BIN)/pytest -q -m "not slow" $(KIT_TESTS)

.PHONY: test-unit
test-unit: setup ## Run every test that needs no chain
	@$(MAKE) --no-print-directory -j2 --output-sync=target all-unit all-kit

.PHONY: all-unit all-kit
all-unit:
	$(BIN)/pytest -q -n 2 --dist loadfile $(UNIT_TESTS) tests/properties
all-kit:
	$(BIN)/pytest -q $(KIT_TESTS)

.PHONY: test-go
test-go: setup ## Run the chain's own tests
	@scripts/go_test.sh

.PHONY: test-e2e
test-e2e: setup ## Run the tests on the real chain alone
	$(BIN)/pytest -q -m alone tests/e2e
	$(BIN)/pytest -q -m "not alone" -n 2 --dist worksteal --durations=10 tests/e2e

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
