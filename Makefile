# Two commands from a fresh clone: `make demo` and `make test`. Both set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow fuzz check format setup clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group dev -e .
	touch $(READY)

demo: $(READY)
	$(BIN)/dpgbench demo

# Two processes on two cores: each, and what it starts, computes on one.
test: export OMP_NUM_THREADS ?= 1
test: $(READY)
	$(BIN)/python -m slipcover --source dpgbench,ella --json --out .coverage.json \
	  -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"
	$(BIN)/python -m scripts.coverage_floor .coverage.json

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

fuzz: $(READY)
	$(BIN)/python -m tests.fuzz --minutes 20

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage.json
