# `make demo` shows cape at work, `make test` tests it. Both make `.venv` first; nothing else is needed.
SHELL := /bin/sh
PY := .venv/bin/python

.PHONY: help venv dev demo demo-share test check format bench acceptance clean

help: ## This list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 14

venv:
	@scripts/bootstrap run

dev:
	@scripts/bootstrap dev

demo: ## Lock, sync, use, upgrade and roll back examples/handbook, and print what it took
	@sh examples/handbook/demo

demo-share: ## Push, pull, promote and roll back examples/sharing between two users
	@sh examples/sharing/demo

test: dev ## Run the whole suite
	@$(PY) -m pytest

check: dev ## Lint and check types
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

format: dev ## Format the code
	@.venv/bin/ruff check --fix-only -q .
	@.venv/bin/ruff format -q .

bench: dev ## Measure what docs/benchmarks.md lists
	@$(PY) benchmarks/run.py
	@$(PY) benchmarks/knowledge.py

acceptance: dev ## Run programs of system packages in their environments, on the host and without it
	@$(PY) -m tests.acceptance --verify
	@$(PY) -m tests.acceptance --as-root
	@$(PY) -m tests.acceptance.arm64
	@$(PY) -m pytest tests/packing/acceptance_podman.py tests/packing/acceptance_skopeo.py tests/services/acceptance_templates.py

clean: ## Remove what was built
	@rm -rf .venv .bootstrap dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
