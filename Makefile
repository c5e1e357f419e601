# Everything starts from `make setup`, which needs Python >= 3.11 and a package registry, nothing else.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

# Tests are spread over this many processes. Half of what they do is wait for services: two cores carry four.
TEST_PROCESSES ?= 4
PYTEST_ARGS ?=

# The first of these that is Python >= 3.11 builds the environment; `make PYTHON=/path/to/python` decides otherwise.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo $$p; break; fi; done)

# Wherever bytecode is not to be kept: hundreds of processes of one run would compile the same sources.
test test-e2e chaos chaos-short fuzz-inputs fuzz-api lint: export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.PHONY: help setup run test test-e2e chaos chaos-short bench bench-guard fuzz fuzz-inputs fuzz-api audit sbom lint format proto lock clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Build .venv from the lock file (done by every other target when needed)

$(STAMP): requirements-dev.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python >= 3.11 found (tried python3, python3.11 to python3.14)." >&2; \
		echo "Install one, or name it: make setup PYTHON=/path/to/python" >&2; exit 1; fi
	@if [ ! -x $(BIN)/python ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		$(PYTHON) -m venv --clear $(VENV) || { \
		echo "$(PYTHON) has no working venv module; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }; fi
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-compile --require-hashes -r requirements-dev.lock
	@# By all processors at once; pip would use one. What cannot be compiled is not meant to be.
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null || true
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --no-index --editable .
	@touch $@

run: setup ## Start the whole stack, run the examples and stay up
	$(BIN)/flow up --examples

# What is deselected and takes each process seconds to load is not looked at in the first place. After the death of a
# test process the others take over its tests; a new one would be waited for without end.
test: setup ## Unit, integration and end-to-end tests against private real servers
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadgroup --max-worker-restart 0 \
		-m "not browser and not chaos and not fuzz" --ignore tests/browser --ignore tests/security/test_api_document.py \
		-p no:schemathesis $(PYTEST_ARGS)

test-e2e: setup ## Tests in a real browser
	$(BIN)/python -m pytest -m browser tests/browser $(PYTEST_ARGS)

chaos: setup ## Break live services in every known way, count what was lost (CHAOS_ARGS=--help)
	$(BIN)/python -m tests.chaos $(CHAOS_ARGS)

chaos-short: setup ## A few of these, in rotation
	$(BIN)/python -m tests.chaos --short $(CHAOS_ARGS)

bench: setup ## Every workload beside its floor and its target, in ten minutes (BENCH_ARGS=--help)
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

bench-guard: setup ## Whether an execution costs more processor time than recorded, as a ratio to a bare call
	$(BIN)/python -m benchmarks.guard $(GUARD_ARGS)

fuzz: fuzz-inputs fuzz-api ## Throw everything at what takes bytes from outside, for a minute (FUZZ_ARGS=--help)

fuzz-inputs: setup
	$(BIN)/python -m tests.security.fuzzing $(FUZZ_ARGS)

fuzz-api: setup
	$(BIN)/python -m pytest -q -m fuzz tests/security/test_api_document.py

audit: setup ## Look for known vulnerabilities in what the lock files name
	$(BIN)/python -m tools.audit

sbom: setup ## Write what an installation consists of to sbom.cdx.json (CycloneDX)
	$(BIN)/python -m tools.sbom

lint: setup ## Style, types, layering, protobuf contract, fresh stubs
	$(BIN)/python -m tools.lint

format: setup ## Format Python and protobuf sources
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .
	$(BIN)/buf format -w

proto: setup ## Regenerate the stubs in flow_engine/ from protos/
	$(BIN)/python -m tools.proto

# Resolves for every platform and Python >= 3.11 at once. Without UPGRADE=1 the pinned versions are kept where they still fit.
UV_COMPILE = .cache/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade)
lock: ## Resolve the dependencies in pyproject.toml anew (UPGRADE=1: newest versions)
	@test -x .cache/uv/bin/uv || { $(PYTHON) -m venv .cache/uv && .cache/uv/bin/python -m pip install --quiet uv; }
	$(UV_COMPILE) pyproject.toml -o requirements.lock
	$(UV_COMPILE) pyproject.toml --extra dev -c requirements.lock -o requirements-dev.lock
	$(UV_COMPILE) requirements-build.in -c requirements-dev.lock -o requirements-build.lock

clean: ## Remove the environment and every cache; data in .flow stay
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
