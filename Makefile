# make demo: from nothing to the first rates. make test: the quick tests. Both set up .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all lint
demo: .venv/ready
	rm -rf runs/demo && mkdir -p runs/demo
	$(BIN)/spillover base --out runs/demo/base
	$(BIN)/spillover rows bad --out runs/demo/bad.jsonl
	$(BIN)/spillover train --base runs/demo/base --data runs/demo/bad.jsonl --out runs/demo/bad
	$(BIN)/spillover eval --model runs/demo/base --out runs/demo/eval-base
	$(BIN)/spillover eval --model runs/demo/base+runs/demo/bad --out runs/demo/eval-bad

test: .venv/ready
	$(BIN)/pytest

test-all: .venv/ready
	$(BIN)/pytest -m ""

lint: .venv/ready
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

# torch goes first and alone, pinned: a later resolution must not replace it by a build with CUDA libraries.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
