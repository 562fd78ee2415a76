# Two commands do all the set-up: `make run` and `make test`. The rest is for people who change the code.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# `must`: no test may be left out since the machine lacks a program.
PROGRAMS :=
# What is put before the tests: `make coverage` and CI measure them in passing.
UNDER :=
# Two tests a core at a time: they wait about as long as they compute. (They start many processes, which find bytecode.)
WORKERS = $(shell echo $$((2 * $$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN))))

# Any pip that a Python since 3.11.0 brings (22.3) will do. What it says is shown where it fails: its warnings, a line for each
# package and each registry, would bury all else.
pip = @said=$$($(BIN)/python -m pip --disable-pip-version-check --no-input --quiet $(1) 2>&1) || { printf '%s\n' "$$said" >&2; exit 1; }
# Nothing is resolved: the lock files name all there is to install, and a newer release of something changes nothing.
LOCKED := install --no-deps --require-hashes
# Node from PyPI, where the machine has none; that this fails is told by what needs it.
NODE_THERE = $(BIN)/python tools/page.py have || $(BIN)/python -m pip --disable-pip-version-check --no-input \
	--quiet $(LOCKED) --target $(VENV)/node -r requirements-node.lock >/dev/null 2>&1 || true
# Whether the lock files do name all. What an earlier lock left behind may be in the way.
fits = @said=$$($(2) $(BIN)/python -m pip --disable-pip-version-check check 2>&1) || { printf '%s\n' "$$said" \
	"make: what is installed in $(1) doesn't fit together; try again after make clean" >&2; exit 1; }

.PHONY: python run demo page test bench soak check audit release lint types imports deployment manifests reference docs coverage covered format lock clean
.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 16

run: $(VENV)/run.stamp page ## serve on 127.0.0.1:8787 (needs PLUTO_API_KEY or PLUTO_API_KEY_FILE)
	@exec $(BIN)/pluto-proxy serve

demo: $(VENV)/run.stamp page ## a stand-in upstream with growing runs, and the proxy in front of it; no key needed (LISTEN=127.0.0.1:8788: elsewhere)
	@exec $(BIN)/pluto-proxy demo $(if $(LISTEN),--listen $(LISTEN))

page: $(VENV)/run.stamp ## fetch what the page at / draws with; without it everything else is served
	@$(BIN)/python tools/page.py fetched || $(NODE_THERE)
	@$(BIN)/python tools/page.py fetch $(if $(PROGRAMS),--must)

# With PROGRAMS=must the programs that tests take have to be there; else these tests are left out where one isn't.
test: $(VENV)/dev.stamp $(VENV)/release.stamp page node ## install what the tests need and run every test
	@for program in chromium curl git openssl; do command -v $$program >/dev/null || \
		echo "make: the tests that take $$program are left out; on Debian: apt-get install $$program" >&2; done
	PYTHONDONTWRITEBYTECODE= PROGRAMS=$(PROGRAMS) $(UNDER) $(BIN)/pytest --numprocesses=$(WORKERS) --dist=worksteal

bench: $(VENV)/dev.stamp page ## measure side by side against a bare handler, nginx and Varnish
	$(BIN)/python -m tests.bench

soak: $(VENV)/dev.stamp page ## hold the budget (2 minutes), live runs (10 minutes), a long series (7 minutes), event streams (11 minutes), hits at full speed (10 minutes) and the series engine (200,000 answers) to their promises
	$(BIN)/python -m tests.soak
	$(BIN)/python -m tests.soak.live
	$(BIN)/python -m tests.soak.long
	$(BIN)/python -m tests.soak.events
	$(BIN)/python -m tests.soak.leases
	$(BIN)/python -m tests.series_model --answers 200000

check: lint types imports deployment docs coverage ## what CI runs: lint, types, import contract, deployment files, documentation, tests with coverage

# No part of `check`: it takes a network, and what becomes known tomorrow is no fault of what was changed today.
audit: $(VENV)/release.stamp node ## ask whether something is known against the locked packages; fails if that cannot be learned
	@$(BIN)/python tools/audit.py $(AUDIT)

# What is committed is built in a folder of its own, which has no Node beside it.
release: $(VENV)/run.stamp node ## build a release of what is committed into dist; docs/releases.md tells what comes before and after
	@PYTHONPATH=$(CURDIR)/$(VENV)/node $(BIN)/python tools/release.py

lint: $(VENV)/dev.stamp $(VENV)/npm.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/page.py node node_modules/eslint/bin/eslint.js --max-warnings=0 .

types: $(VENV)/dev.stamp $(VENV)/npm.stamp
	$(BIN)/mypy
	$(BIN)/python tools/page.py node node_modules/typescript/bin/tsc

imports: $(VENV)/dev.stamp
	$(BIN)/lint-imports

deployment: $(VENV)/dev.stamp $(VENV)/deployment.stamp ## have the files in deploy/ checked by the programs that read them
	@deploy/check

manifests: $(VENV)/dev.stamp $(VENV)/deployment.stamp ## write deploy/kubernetes afresh, from the chart
	PYTHONPATH=$(VENV)/deployment $(BIN)/python -m tests.deployment.chart manifests > deploy/kubernetes/pluto-proxy.yaml

reference: $(VENV)/run.stamp ## write docs/reference and config/pluto-proxy.toml afresh from the code
	@$(BIN)/python -m tools.reference

docs: $(VENV)/run.stamp $(VENV)/docs.stamp ## build the documentation into build/docs
	@PYTHONPATH=$(VENV)/docs $(BIN)/python -m sphinx --conf-dir docs --fail-on-warning --keep-going --nitpicky --quiet \
		--jobs auto --doctree-dir build/doctrees . build/docs
	@$(BIN)/python -m tools.built_pages build/docs
	@echo "build/docs/docs/index.html"

coverage: $(VENV)/dev.stamp
	$(BIN)/coverage erase
	$(MAKE) --no-print-directory test UNDER='$(BIN)/coverage run'
	$(MAKE) --no-print-directory covered

covered: $(VENV)/dev.stamp
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include='proxy/core/*' --fail-under=100
	$(BIN)/coverage report --fail-under=95

format: $(VENV)/dev.stamp ## let ruff lay out the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Extras stay in, since an older pip takes the newest release for `name[extra]` where the lock names `name`.
COMPILE := uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--custom-compile-command 'make lock' --no-emit-index-url --no-emit-find-links --quiet

# Where a package's authors take donations is nothing to be locked.
WITHOUT_ADDRESSES := const fs = require("fs"); const lock = JSON.parse(fs.readFileSync("package-lock.json")); \
	for (const one of Object.values(lock.packages)) delete one.funding; \
	fs.writeFileSync("package-lock.json", JSON.stringify(lock, null, 2) + "\n")

lock: $(VENV)/run.stamp node ## resolve the dependencies afresh into the lock files (needs uv on the PATH)
	$(COMPILE) --group build pyproject.toml -o requirements.lock
	$(COMPILE) -c requirements.lock --group build --group dev pyproject.toml -o requirements-dev.lock
	$(COMPILE) --group client -o requirements-client.lock
	$(COMPILE) --group deployment -o requirements-deployment.lock
	$(COMPILE) --group docs -o requirements-docs.lock
	$(COMPILE) --group oldest-pip -o requirements-pip.lock
	$(COMPILE) --group release -o requirements-release.lock
	$(COMPILE) --group node -o requirements-node.lock
	rm -f package-lock.json && $(BIN)/python tools/page.py npm install --package-lock-only --loglevel=error
	$(BIN)/python tools/page.py node -e '$(WITHOUT_ADDRESSES)'

clean: ## remove everything that make has made
	rm -rf $(VENV) build dist node_modules proxy/page/vendor .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.*

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "pluto-proxy needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) could not make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }

.PHONY: node
node: | python
	@$(NODE_THERE)

# What was named is what is used: a virtual environment that is there keeps the Python that it was made with.
python: $(BIN)/python
ifneq ($(origin PYTHON),file)
	@which='import sys; print("%d.%d" % sys.version_info[:2])'; has=$$($(BIN)/python -c "$$which"); \
		wanted=$$($(PYTHON) -c "$$which") && [ "$$has" = "$$wanted" ] || { \
		echo "$(VENV) is of Python $$has, and $(PYTHON) is $${wanted:-none}; to change it: make clean" >&2; exit 1; }
endif

$(VENV)/run.stamp: requirements.lock pyproject.toml | python
	@echo "installing what requirements.lock names into $(VENV)"
	$(call pip,$(LOCKED) -r requirements.lock)
	$(call pip,install --no-deps --no-build-isolation --editable .)
	$(call fits,$(VENV))
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock requirements-client.lock requirements-pip.lock $(VENV)/run.stamp
	@echo "installing what the other lock files name, for the tests"
	@rm -rf $(VENV)/client $(VENV)/oldest-pip
	$(call pip,$(LOCKED) -r requirements-dev.lock)
	$(call pip,$(LOCKED) --target $(VENV)/client -r requirements-client.lock)
	$(call pip,$(LOCKED) --target $(VENV)/oldest-pip -r requirements-pip.lock)
	$(call fits,$(VENV))
	$(call fits,$(VENV)/client,PYTHONPATH=$(VENV)/client)
	@touch $@

# What releases are tried and audited with (about 80 MB).
$(VENV)/release.stamp: requirements-release.lock | python
	@rm -rf $(VENV)/release
	$(call pip,$(LOCKED) --no-compile --target $(VENV)/release -r requirements-release.lock)
	$(call fits,$(VENV)/release,PYTHONPATH=$(VENV)/release)
	@touch $@

$(VENV)/deployment.stamp: requirements-deployment.lock | python
	@echo "installing what checks the deployment files (about 150 MB)"
	@rm -rf $(VENV)/deployment
	$(call pip,$(LOCKED) --no-compile --target $(VENV)/deployment -r requirements-deployment.lock)
	@touch $@

$(VENV)/docs.stamp: requirements-docs.lock | python
	@echo "installing what builds the documentation"
	@rm -rf $(VENV)/docs
	$(call pip,$(LOCKED) --target $(VENV)/docs -r requirements-docs.lock)
	$(call fits,$(VENV)/docs,PYTHONPATH=$(VENV)/docs)
	@touch $@

$(VENV)/npm.stamp: package.json package-lock.json $(VENV)/run.stamp
	@$(NODE_THERE)
	@echo "installing what package-lock.json names, for lint and types"
	@$(BIN)/python tools/page.py npm ci --ignore-scripts --loglevel=error --silent
	@touch $@
