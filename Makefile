# Two commands do all the set-up: `make run` and `make test`. The rest is for people who change the code.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run demo test bench soak check lint types imports coverage format lock clean
.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 16

run: $(VENV)/run.stamp ## serve on 127.0.0.1:8787 (needs PLUTO_API_KEY or PLUTO_API_KEY_FILE)
	@exec $(BIN)/pluto-proxy serve

demo: $(VENV)/run.stamp ## a stand-in upstream with growing runs, and the proxy in front of it; no key needed
	@exec $(BIN)/pluto-proxy demo

test: $(VENV)/dev.stamp ## install what the tests need and run every test
	$(BIN)/pytest

bench: $(VENV)/dev.stamp ## measure side by side against a bare handler, nginx and Varnish
	$(BIN)/python -m tests.bench

soak: $(VENV)/dev.stamp ## hold the budget (2 minutes), live runs (10 minutes) and the series engine (200,000 answers) to their promises
	$(BIN)/python -m tests.soak
	$(BIN)/python -m tests.soak.live
	$(BIN)/python -m tests.series_model --answers 200000

check: lint types imports coverage ## what CI runs: lint, types, import contract, tests with coverage

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp
	$(BIN)/mypy

imports: $(VENV)/dev.stamp
	$(BIN)/lint-imports

coverage: $(VENV)/dev.stamp
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include='proxy/core/*' --fail-under=100
	$(BIN)/coverage report --fail-under=95

format: $(VENV)/dev.stamp ## let ruff lay out the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## resolve the dependencies afresh into the lock files (needs uv on the PATH)
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock' \
		--no-emit-index-url --no-emit-find-links --group build pyproject.toml -o requirements.lock
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock' \
		--no-emit-index-url --no-emit-find-links -c requirements.lock --group build --group dev pyproject.toml -o requirements-dev.lock
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock' \
		--no-emit-index-url --no-emit-find-links --group client -o requirements-client.lock

clean: ## remove everything that make has made
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.*

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "pluto-proxy needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) could not make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/run.stamp: requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock requirements-client.lock $(VENV)/run.stamp
	$(PIP) install --require-hashes -r requirements-dev.lock
	$(PIP) install --require-hashes --upgrade --target $(VENV)/client -r requirements-client.lock
	@touch $@
