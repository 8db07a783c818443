# Everything runs from virtual environments that these targets make; nothing is installed outside them, but for
# Debian's packages that tests need (tests/install-system-packages).
PYTHON ?= python3.11
VENV ?= .venv
MODELS_VENV ?= .venv-models
BIN := $(VENV)/bin
# Tests of one file run in one process; files in the order of their names, as the long ones come first there.
PARALLEL := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations=25

.DEFAULT_GOAL := help
.PHONY: help demo demo-imagenet test test-fast e2e test-models lint format bench proto up down lock clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.user ## Attack three real classifiers on a dozen images: set-up, local stack, contact sheet
	$(BIN)/pixelprobe demo --out out/demo

demo-imagenet: $(MODELS_VENV)/.ready ## The same on photographs: an ImageNet classifier, masks by U2-Net (installs torch)
	$(MODELS_VENV)/bin/pixelprobe demo --imagenet --out out/demo-imagenet

test: $(VENV)/.dev ## Run all tests that need no deep-learning framework, against a real Triton
	tests/install-system-packages
	$(BIN)/pytest tests --ignore=tests/models --ignore=tests/e2e $(PARALLEL)

test-fast: $(VENV)/.dev ## Run the unit and contract tests that need no stack
	tests/install-system-packages postgresql
	$(BIN)/pytest tests/unit tests/contract -m 'not stack' $(PARALLEL)

e2e: $(VENV)/.dev ## Test the compose stack; needs a Docker engine with Compose 2.24 or later
	$(BIN)/pytest tests/e2e

test-models: $(MODELS_VENV)/.ready ## Test architectures, training and export (installs torch)
	$(MODELS_VENV)/bin/pytest tests/models

lint: $(VENV)/.dev ## ruff, mypy, import rules, hadolint, and stubs against the .proto files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint deploy/containers/*.Dockerfile
	$(BIN)/python proto/generate.py --check

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## Benchmarks, as ratios measured side by side
	$(BIN)/python -m tests.benchmarks

proto: $(VENV)/.dev ## Regenerate the stubs
	$(BIN)/python proto/generate.py

up: $(VENV)/.user ## Start the local stack: Triton and both services
	$(BIN)/pixelprobe up

down: $(VENV)/.user ## Stop the local stack
	$(BIN)/pixelprobe down

lock: $(VENV)/.dev ## Resolve the pinned dependencies again, and their hashes
	$(BIN)/python -m piptools compile -q --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	    --no-annotate --no-header --upgrade --extra server --extra report --extra tracing --extra dev -o deploy/constraints.txt pyproject.toml
	$(BIN)/python -m piptools compile -q --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	    --no-annotate --no-header --upgrade --extra models -c deploy/constraints.txt -o deploy/constraints-models.txt pyproject.toml
	$(BIN)/python deploy/lock.py

clean: ## Remove the virtual environments and what tools left behind
	rm -rf $(VENV) $(MODELS_VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.user: pyproject.toml deploy/constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q -c deploy/constraints.txt -e '.[server]'
	touch $@

$(VENV)/.dev: pyproject.toml deploy/constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q -c deploy/constraints.txt -e '.[server,report,tracing,dev]'
	touch $@ $(VENV)/.user

$(MODELS_VENV)/.ready: pyproject.toml deploy/constraints.txt deploy/constraints-models.txt
	$(PYTHON) -m venv $(MODELS_VENV)
	$(MODELS_VENV)/bin/python -m pip install -q -c deploy/constraints.txt -c deploy/constraints-models.txt -e '.[server,report,tracing,dev,models]'
	touch $@
