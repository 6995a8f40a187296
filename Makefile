# One command a task; each makes .venv first if it is missing or out of date.
PYTHON ?= python3
PARAMS ?= params/quickstart.yaml
BIN := .venv/bin
STAMP := .venv/.stamp
UV = $(or $(shell command -v uv 2>/dev/null),.bootstrap/bin/uv)
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --extra dev $(if $(UPGRADE),--upgrade) pyproject.toml
SOURCES = --extend-exclude .bootstrap .
# processes that share the tests, file by file: what a module made is made once
WORKERS ?= 2
SHARED = -n $(WORKERS) --dist loadfile --no-loadscope-reorder
NBVAL = --nbval-lax --nbval-current-env --nbval-cell-timeout=120 \
	--nbval-kernel-startup-timeout=60 -p no:cacheprovider notebooks/

MAKEFLAGS += --no-print-directory
# threads that wait asleep: worker processes share the cores
export OMP_WAIT_POLICY := passive

.DEFAULT_GOAL := help
.PHONY: help setup run serve test lab lint format bench certify notebooks lock clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## make .venv from the lock file; EXTRA=gpu for the GPU build, PYTHON=python3.12 to choose
	@$(PYTHON) tools/bootstrap.py $(if $(EXTRA),--extra $(EXTRA))

$(STAMP): requirements.lock requirements-gpu.lock pyproject.toml tools/bootstrap.py
	@$(PYTHON) tools/bootstrap.py

run: $(STAMP) ## run a study and write its report; PARAMS=params/other.yaml
	@$(BIN)/signalkit run $(PARAMS)

serve: $(STAMP) ## open API, dashboard and admin on a study's models, played over its last fold
	@$(BIN)/signalkit serve --rehearse $(PARAMS)

test: $(STAMP) ## run the tests, the examples in docstrings and the notebooks
	@status=0; $(BIN)/pytest -m "not certify" $(SHARED) || status=$$?; \
	store=$$(mktemp -d) || exit 1; trap 'rm -rf "$$store"' EXIT; trap 'exit 130' INT TERM; \
	SIGNALKIT_DATA="$$store" $(BIN)/pytest $(NBVAL) || status=$$?; \
	exit $$status

lab: $(STAMP) ## open the notebooks in JupyterLab, on this computer alone
	@$(BIN)/jupyter lab --config=tools/jupyter_server_config.py

lint: $(STAMP) ## check style and formatting
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)

format: $(STAMP) ## format the code
	@$(BIN)/ruff check --fix $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

bench: $(STAMP) ## measure speed; fails where a promised ratio is not kept
	@$(BIN)/pytest benchmarks/

certify: $(STAMP) ## run the slow proofs
	@$(BIN)/pytest -m certify

notebooks: $(STAMP) ## run the committed notebooks again and save them in place
	@$(BIN)/python tools/execute_notebooks.py

lock: $(STAMP) ## make both lock files again from pyproject.toml; UPGRADE=1 for newer versions
	@$(COMPILE) --extra cpu -o requirements.lock
	@$(COMPILE) --extra gpu -c requirements.lock -o requirements-gpu.lock

clean: ## remove what was generated, .venv too; data/ stays
	@rm -rf .venv .bootstrap .kernels reports build dist *.egg-info
	@rm -rf .pytest_cache .ruff_cache .hypothesis .benchmarks
	@find . -name __pycache__ -prune -exec rm -rf {} +
	@find . -name .ipynb_checkpoints -prune -exec rm -rf {} +
