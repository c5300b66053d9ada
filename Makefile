# `make train` and `make test` do all the set-up by themselves; they need python3, git and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
comma := ,

# The main job runs on every GPU, or on simulated devices over the CPU's cores (a power of two),
# for a few minutes; what stands in ARGS goes before these defaults.
HAS_GPU := $(shell command -v nvidia-smi 2>/dev/null)
CORES := $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
DEVICES := $(shell n=1; while [ $$((2 * n)) -le $(CORES) ] && [ $$n -lt 8 ]; do n=$$((2 * n)); done; echo $$n)
NUM_DEVICES := $(if $(HAS_GPU)$(findstring num_devices=,$(ARGS)),,num_devices=$(DEVICES))
MAX_STEPS := $(if $(findstring max_steps=,$(ARGS)),,max_steps=500)
# Tests of a file stay in one process, where they share what they have compiled.
PYTEST := $(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile
EXTRAS := dev$(if $(HAS_GPU),$(comma)cuda)

.PHONY: install train walk test test-all lint format bench docs wheel clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "Installing ksim and its dependencies into $(VENV) (about a minute) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

train: install  ## Train the humanoid; options in ARGS, as in `make train ARGS="max_steps=1000"`.
	$(BIN)/python -m examples.walking_distributed $(NUM_DEVICES) $(MAX_STEPS) $(ARGS)

walk: install  ## Train the humanoid until it walks, examine it, film it: a quarter of an hour on 2 cores.
	$(BIN)/python -m examples.walk $(NUM_DEVICES) $(ARGS)

test: install  ## Pass the tests, but for the slow ones.
	$(PYTEST)

test-all: install  ## Pass all tests.
	$(PYTEST) -m ''

lint: install  ## Style, types, the floors and rules of the house, docstrings, generated pages.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.house
	$(BIN)/python docs/generate.py --check

format: install  ## Format the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install  ## Measure speed, beside brax; writes benchmarks/results and the tables in docs.
	$(BIN)/python -m benchmarks.run_all
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.cost_model

docs: install  ## Write the generated parts of the docs; fails on an undocumented public name.
	$(BIN)/python docs/generate.py

wheel: install  ## Build dist/*.whl; `pip install` takes it anywhere.
	$(BIN)/python -m pip --quiet --disable-pip-version-check wheel --no-deps --wheel-dir dist .

clean:  ## Remove the environment and caches.
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
