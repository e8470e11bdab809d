# The two commands: `make reproduce` and `make test`. `make help` lists the rest.

SHELL = bash
.DEFAULT_GOAL := help

PRESET = quick
CORPUS = bach
SEED = 1
CORES = 2
SWEEP = seeds
# A Snakemake profile, for a cluster: profiles/slurm.
PROFILE =
# The Python that .venv is made with, and an index that has a CPU-only torch (the usual one is gigabytes).
PYTHON = python3
TORCH_INDEX =
# What `make clean-room` runs there, in order.
CLEAN_ROOM = reproduce test

# Inside the activated conda environment `octavoice` that one is used; else .venv, made from the lock.
ifeq ($(CONDA_DEFAULT_ENV)$(if $(CONDA_PREFIX),,!),octavoice)
ENV := $(CONDA_PREFIX)
READY := conda
else
ENV := $(CURDIR)/.venv
READY := .venv/ready
endif
BIN := $(ENV)/bin
OCTAVOICE = "$(BIN)/python" -m octavoice

# Only this environment's packages: a user's own never change a figure. The rest of it is set by octavoice itself.
SYSTEM_PATH := $(PATH)
export PATH := $(BIN):$(SYSTEM_PATH)
export PYTHONNOUSERSITE := 1
unexport PYTHONPATH

# Recipes read these from the environment, where no character in a path needs quoting.
export PRESET CORPUS SEED SWEEP PROFILE
WHERE := --cores "$(CORES)" --profile "$$PROFILE"
RUN := --preset "$$PRESET" --corpus "$$CORPUS" --seed "$$SEED"

.PHONY: environment reproduce train sweep test book clean-room publish notebooks lock help conda moved

environment: $(READY)  ## only make .venv, which all the others make too: TORCH_INDEX=URL PYTHON=python3.12

reproduce:  ## run all notebooks: PRESET=quick CORPUS=bach|NAME|folder:PATH SEED=1 CORES=2 TORCH_INDEX=URL
train:  ## train and compose only, notebooks 06 and 07: same settings as reproduce
reproduce train: $(READY)
	@$(OCTAVOICE) reproduce $(RUN) $(WHERE) $(if $(filter train,$@),--only-training)

sweep: $(READY)  ## run many: SWEEP=seeds|corpora|FILE.yaml CORES=2, or PROFILE=profiles/slurm CORES=20 for a cluster
	@$(OCTAVOICE) sweep "$$SWEEP" $(WHERE)

test: $(READY)  ## everything CI runs: lint, types, tests, and the notebooks at preset smoke (in a temporary folder)
	@$(OCTAVOICE) test

book: $(READY)  ## make the book from the notebooks as stored: open runs/book/index.html
	@rm -rf runs/book runs/book.doctrees
	@"$(BIN)/python" -m sphinx --quiet --fail-on-warning --keep-going -d runs/book.doctrees book runs/book
	@echo "octavoice: open runs/book/index.html"

# Nothing of this checkout's own is used but its commits, and nothing is left.
clean-room:  ## both README commands on a fresh clone of HEAD in a fresh environment, timed: PRESET=quick TORCH_INDEX=URL
	@place="$$(mktemp -d)" && trap 'rm -rf "$$place"' EXIT && export PATH="$(SYSTEM_PATH)" && \
	    unset OCTAVOICE_HOME MAKEFLAGS MFLAGS MAKEOVERRIDES CONDA_DEFAULT_ENV CONDA_PREFIX VIRTUAL_ENV && \
	    git clone --quiet --no-hardlinks . "$$place/octavoice" && cd "$$place/octavoice" && \
	    echo "clean room: $$(git log -1 --format='%h %s'), $$(uname -sm)" && for target in $(CLEAN_ROOM); do SECONDS=0; \
	    $(MAKE) --no-print-directory "$$target" PYTHON="$(PYTHON)" TORCH_INDEX="$(TORCH_INDEX)" PRESET="$$PRESET" \
	        CORPUS="$$CORPUS" SEED="$$SEED" CORES="$(CORES)" || { echo "clean room: make $$target FAILED" >&2; exit 1; }; \
	    echo "clean room: make $$target took $$SECONDS s"; done

publish: $(READY)  ## copy a finished run to figures/ and results/, to be committed; ONLY="06_experiments 07_discussion", NO_WEIGHTS=1, SHIP=1: its networks come with the package
	@$(OCTAVOICE) publish $(RUN) $(if $(ONLY),--only $(ONLY)) $(if $(NO_WEIGHTS),--no-weights) $(if $(SHIP),--ship)

notebooks: $(READY)  ## make the notebooks' stored pages again from the committed run that they show: ONLY="08_beyond"
	@$(OCTAVOICE) notebooks $(ONLY)

lock:  ## write requirements.lock again from pyproject.toml (remove the file first to raise versions)
	@place="$$(mktemp -d)" && trap 'rm -rf "$$place"' EXIT && "$(PYTHON)" -m venv "$$place" && \
	    "$$place/bin/python" -m pip install --quiet --disable-pip-version-check uv && \
	    "$$place/bin/uv" pip compile pyproject.toml --quiet --all-extras --no-annotate \
	        --universal --python-version 3.11 --fork-strategy fewest \
	        --custom-compile-command "make lock" --output-file requirements.lock
	@# GPU libraries are left to torch, whose own metadata brings them to the machines that want them.
	@grep -vE '^(nvidia|cuda|triton)' requirements.lock > requirements.lock.new
	@mv requirements.lock.new requirements.lock

help:
	@sed -nE 's/^([a-z-]+):.*  ## (.*)/  make \1	\2/p' Makefile

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
