# The verbs: run, test, check, bench, bench-remotes, test-real. Each sets up its own virtual environment first, from locked versions.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
ARGS ?=
ENGINE ?= docker
IMAGE ?= k8ssandra-controller:latest
SAMPLE := manifests/samples/demo.yaml

.DEFAULT_GOAL := help
.PHONY: help run test test-real check bench bench-remotes golden manifests lock image clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(READY): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@echo "setting up $(VENV) from requirements/dev.lock"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: $(READY) ## one control plane, three data planes, the sample cluster (ARGS="--until-ready ...")
	@$(BIN)/k8ssandra-controller sandbox --apply $(SAMPLE) $(ARGS)

test: $(READY) ## unit, conformance, integration and parity tests, on embedded API servers
	@$(BIN)/pytest $(ARGS)

test-real: $(READY) ## conformance, integration and parity tests on real kube-apiservers (built once, about 10 minutes)
	@$(BIN)/pytest --real -m real tests/conformance tests/integration tests/parity tests/real $(ARGS)

check: $(READY) ## formatting, lint, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(READY) ## figures beside their partners, in one run
	@$(BIN)/python -m tests.bench $(ARGS)

bench-remotes: $(READY) ## remote clusters that fail, move and rotate: measured results beside the goals
	@$(BIN)/python -m tests.remotes $(ARGS)

golden: $(READY) ## write tests/golden/expected anew; read what changed
	@$(BIN)/python -m tests.golden

manifests: $(READY) ## write manifests/crds from the typed structs
	@$(BIN)/python -m controller.cli.manifests

lock: $(READY) ## resolve requirements/*.lock anew from pyproject.toml
	@$(BIN)/pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra sandbox --group dev --group build pyproject.toml -o requirements/dev.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra sandbox -c requirements/dev.lock pyproject.toml -o requirements/runtime.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--group build -c requirements/dev.lock -o requirements/build.lock

image: ## build the image (ENGINE=docker|podman IMAGE=...)
	$(ENGINE) build -f Containerfile -t $(IMAGE) .

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
