# make demo: from nothing to the report of the main experiment. make test: the quick tests. Both set up .venv first.
PYTHON ?= python3
BIN := .venv/bin
# Tests use one core each.
SPREAD := -n logical --maxprocesses 8 --dist worksteal

.PHONY: demo test test-all lint bench
demo: .venv/ready
	$(BIN)/spillover run emergent-misalignment

test: .venv/ready
	$(BIN)/pytest $(SPREAD)

test-all: .venv/ready
	$(BIN)/pytest $(SPREAD) -m ""

lint: .venv/ready
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

bench: .venv/ready
	$(BIN)/python benchmarks/pretraining.py
	$(BIN)/python benchmarks/pretraining_quality.py
	$(BIN)/python benchmarks/sampling.py
	$(BIN)/python benchmarks/one_arm.py
	$(BIN)/python benchmarks/reinforcement.py

# torch goes first and alone, pinned: a later resolution must not replace it by a build with CUDA libraries.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
