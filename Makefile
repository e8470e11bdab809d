# The two commands: `make reproduce` and `make test`. `make help` lists the rest.

SHELL = bash
.DEFAULT_GOAL := help

PRESET = quick
CORPUS = bach
SEED = 1
CORES = 2
# The Python that .venv is made with, and an index that has a CPU-only torch (the usual one is gigabytes).
PYTHON = python3
TORCH_INDEX =

# Inside the activated conda environment `octavoice` that one is used; else .venv, made from the lock.
ifeq ($(CONDA_DEFAULT_ENV)$(if $(CONDA_PREFIX),,!),octavoice)
ENV := $(CONDA_PREFIX)
READY := conda
else
ENV := $(CURDIR)/.venv
READY := .venv/ready
endif
BIN := $(ENV)/bin
SNAKEMAKE = XDG_CACHE_HOME="$(ENV)/cache" "$(BIN)/snakemake"

# Only this environment's packages, kernels and settings: a user's own never change a figure.
SYSTEM_PATH := $(PATH)
export PATH := $(BIN):$(SYSTEM_PATH)
export PYTHONNOUSERSITE := 1
export JUPYTER_PREFER_ENV_PATH := 1
export IPYTHONDIR := $(ENV)/ipython
export MPLCONFIGDIR := $(ENV)/matplotlib
export JUPYTER_RUNTIME_DIR := $(ENV)/jupyter
unexport PYTHONPATH

# Recipes read these from the environment, where no character in a path needs quoting.
export PRESET CORPUS SEED
RUN := --preset "$$PRESET" --corpus "$$CORPUS" --seed "$$SEED"

.PHONY: book
book: $(READY)  ## make the book from the notebooks as stored: open runs/book/index.html
	@rm -rf runs/book runs/book.doctrees
	@"$(BIN)/python" -m sphinx --quiet --fail-on-warning --keep-going -d runs/book.doctrees book runs/book
	@echo "octavoice: open runs/book/index.html"

.PHONY: reproduce train test publish notebooks lock unlock help conda moved

# Snakemake strips quotes and reads YAML, where a # would begin a comment: hence the corpus as a quoted list of one.
reproduce:  ## run all notebooks: PRESET=quick CORPUS=bach|NAME|folder:PATH SEED=1 CORES=2 TORCH_INDEX=URL
train:  ## train and compose only, notebooks 06 and 07: same settings as reproduce
reproduce train: $(READY)
	@"$(BIN)/octavoice" check $(RUN)
	@$(SNAKEMAKE) $(if $(filter train,$@),train) --cores "$(CORES)" \
	    --config preset="$$PRESET" seed="$$SEED" corpus="['$$(printf %s "$$CORPUS" | sed "s/'/''/g")']" || { \
	    test -z "$$(ls .snakemake/locks 2>/dev/null)" || \
	    echo "octavoice: if no other run is going on here, lift the lock with: make unlock" >&2; exit 1; }

test: $(READY)  ## everything CI runs: lint, tests, and the notebooks at preset smoke (in a temporary folder)
	@"$(BIN)/ruff" check .
	@# One thread for each of two workers: torch threads that crowd each other take eight times as long.
	@OMP_NUM_THREADS=1 "$(BIN)/python" -m pytest -n 2 tests
	@$(IN_TEMPORARY_HOME) TQDM_DISABLE=1 "$(BIN)/python" -m pytest --nbval-lax --nbval-current-env notebooks

publish: $(READY)  ## copy a finished run to figures/ and results/, to be committed; ONLY="06_experiments 07_discussion", NO_WEIGHTS=1, SHIP=1: its networks come with the package
	@"$(BIN)/octavoice" publish $(RUN) $(if $(ONLY),--only $(ONLY)) $(if $(NO_WEIGHTS),--no-weights) $(if $(SHIP),--ship)

notebooks: $(READY)  ## run the notebooks in place at preset smoke, so that their stored outputs are fresh
	@$(IN_TEMPORARY_HOME) set -o pipefail; TQDM_DISABLE=1 "$(BIN)/jupyter" nbconvert --to notebook --execute --inplace \
	    --ExecutePreprocessor.record_timing=False --ExecutePreprocessor.store_widget_state=False \
	    notebooks/*.ipynb 2>&1 | "$(BIN)/octavoice" relay notebooks

lock:  ## write requirements.lock again from pyproject.toml (remove the file first to raise versions)
	@$(IN_TEMPORARY_HOME) sh -c '"$(PYTHON)" -m venv "$$OCTAVOICE_HOME" && \
	    "$$OCTAVOICE_HOME/bin/python" -m pip install --quiet --disable-pip-version-check uv && \
	    "$$OCTAVOICE_HOME/bin/uv" pip compile pyproject.toml --quiet --all-extras --no-annotate \
	        --universal --python-version 3.11 --fork-strategy fewest \
	        --custom-compile-command "make lock" --output-file requirements.lock'
	@# GPU libraries are left to torch, whose own metadata brings them to the machines that want them.
	@grep -vE '^(nvidia|cuda|triton)' requirements.lock > requirements.lock.new
	@mv requirements.lock.new requirements.lock

unlock: $(READY)  ## after a crash or a power cut: lift the lock that a killed `make reproduce` left behind
	@$(SNAKEMAKE) --unlock

help:
	@sed -nE 's/^([a-z]+):.*  ## (.*)/  make \1	\2/p' Makefile

# --- the environment -------------------------------------------------------------------------------

.venv/ready: .venv/locked pyproject.toml
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The stamp is written last, so an interrupted installation is made again. It holds the place of the
# environment, which does not survive being copied or moved.
ifneq ($(shell cat .venv/locked 2>/dev/null),$(CURDIR))
.venv/locked: moved
endif
.venv/locked: requirements.lock
	@PATH="$(SYSTEM_PATH)"; "$(PYTHON)" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
	    "octavoice: $(PYTHON) is not Python 3.11 or newer with venv; install it or name one: make PYTHON=python3.12" >&2; \
	    exit 2; }
	@echo "Installing the packages of requirements.lock into .venv; this takes some minutes, torch most of them ..."
	@PATH="$(SYSTEM_PATH)"; "$(PYTHON)" -m venv --clear .venv
	@if [ -n "$(TORCH_INDEX)" ]; then .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	    --index-url "$(TORCH_INDEX)" "$$(grep '^torch==' requirements.lock)"; fi
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@echo "$(CURDIR)" > $@

conda:
	@"$(BIN)/python" -c 'import octavoice, snakemake' 2>/dev/null || { echo \
	    "octavoice: the conda environment is incomplete; run: conda env update -f environment.yml" >&2; exit 2; }

# Prefix of a command that must not write into this checkout's figures/, results/ and runs/.
IN_TEMPORARY_HOME = export OCTAVOICE_HOME="$$(mktemp -d)" && trap 'rm -rf "$$OCTAVOICE_HOME"' EXIT &&
