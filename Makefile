# quickstudy: one command per habit. Needs python3 (3.11 or newer), pip and make; everything else goes into .venv.
#   make demo   make test   make test-all   make test-oldest   make fuzz   make docs   make bench   make gpu   make reproduce   make lint   make types   make format   make wheel   make clean
# make gpu needs no network, only a Python with torch: PYTHON_GPU=, DEVICE=cpu to try it, OUT= for the figures; make gpu-wheels before it.
# ARGS="..." is handed on:  make test ARGS="-k implicit"    make reproduce ENTRY=omniglot_maml BUDGET=0.1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PINS   ?= constraints.txt
PIP    := $(BIN)/python -m pip --disable-pip-version-check install -qq --constraint $(PINS)
ARGS   ?=
ENTRY  ?=
BUDGET ?=

OLDEST := .venv-oldest

PYTHON_GPU ?= python3
DEVICE     ?= cuda
OUT        ?= runs/gpu
WHEELS     ?= .wheels
PATH_GPU   := PYTHONPATH=src:$(WHEELS)/site

.PHONY: help setup demo test test-all test-oldest fuzz docs bench gpu gpu-wheels reproduce lint format types wheel clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -4

setup: $(VENV)/.setup

# The package's own pins are read by pip from constraints.txt (PINS). torch first and alone: whatever else asks for torch then finds it there.
$(VENV)/.core: pyproject.toml $(PINS) | $(VENV)/.python
	@echo "setup: installing into $(VENV) (about a minute)"
	@$(PIP) torch
	@$(PIP) hatchling editables
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(VENV)/.setup: $(VENV)/.core
	@echo "setup: and what the tests need (another minute)"
	@$(PIP) seqeval # alone: it has no wheel, and its version is known only where pip makes it a build environment of its own
	@$(PIP) --no-build-isolation --editable '.[test]'
	@touch $@

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; v = "%d.%d" % sys.version_info[:2]; sys.exit(0 if sys.version_info >= (3, 11) else "setup: quickstudy needs Python 3.11 or newer, $(PYTHON) is " + v + ". Name another one: make setup PYTHON=python3.11")'
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv $(VENV); else \
	    $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install -qq pip; fi
	@touch $@

$(VENV)/.bench: $(VENV)/.setup
	@$(PIP) --no-build-isolation --editable '.[test,bench]'
	@touch $@

demo: $(VENV)/.core
	@$(BIN)/quickstudy demo $(ARGS)

test: setup
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

fuzz: setup
	@$(BIN)/python -m tests.fuzz.minute $(ARGS)

$(VENV)/.docs: $(VENV)/.setup
	@$(PIP) --no-build-isolation --editable '.[test,docs]'
	@touch $@

test-all: setup
	@$(BIN)/python -m pytest -n auto --dist worksteal -m "" $(ARGS)

# The tests on the oldest versions that pyproject.toml allows, in an environment of its own: several GB where torch comes with CUDA.
test-oldest: $(OLDEST)/constraints.txt
	@$(MAKE) --no-print-directory test VENV=$(OLDEST) PINS=$(OLDEST)/constraints.txt

$(OLDEST)/constraints.txt: pyproject.toml constraints.txt tests/oldest.py
	@mkdir -p $(OLDEST)
	@$(PYTHON) -m tests.oldest > $@

docs: $(VENV)/.docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet $(ARGS)

bench: $(VENV)/.bench
	@$(BIN)/python -m benchmarks.speed.bench $(ARGS)

# On the machine with the GPU, as it is: nothing is set up, and nothing fetched.
gpu:
	@$(PATH_GPU) $(PYTHON_GPU) -m benchmarks.gpu.wheels install --folder $(WHEELS)
	@$(PATH_GPU) $(PYTHON_GPU) -m benchmarks.gpu --device $(DEVICE) --out $(OUT) $(ARGS)

# Here, before: what that machine may lack, for its Python (ARGS="--python 3.12").
gpu-wheels:
	@$(PYTHON) -m benchmarks.gpu.wheels download --folder $(WHEELS) $(ARGS)

reproduce: setup
	@$(BIN)/python -m benchmarks.reproduction.reproduce $(ENTRY) $(if $(BUDGET),--budget $(BUDGET)) $(ARGS)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: setup
	@$(BIN)/mypy $(ARGS)

wheel: setup
	@rm -rf dist
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist .

clean:
	rm -rf $(VENV) $(OLDEST) $(WHEELS) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
