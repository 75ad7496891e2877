# make demo: a real language model through the whole pipeline. make test: the tests. Both set up .venv themselves.
PYTHON ?= python3
# Where pip takes torch from; empty: pip's own index. On Linux, PyTorch's CPU index (see pytorch.org) avoids
# gigabytes of CUDA libraries:  make demo TORCH_INDEX=<that address>
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
VLLM_VENV := .venv-vllm
AUDIT_VENV := .venv-audit

.PHONY: help setup setup-dev lock audit demo smoke reproduce reproduce-all reproduce-full release-data test test-slow test-all faults siege fuzz test-vllm gpu-check lint type layers tables bench wheel clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(VENV)/.ready-demo  ## a virtual environment at .venv with all that the demo needs

setup-dev: $(VENV)/.ready-dev  ## the same, and the tools for tests and checks

$(VENV)/.ready-%: pyproject.toml constraints.txt locks/build.txt locks/demo.txt locks/dev.txt scripts/setup.sh
	@PYTHON="$(PYTHON)" TORCH_INDEX="$(TORCH_INDEX)" sh scripts/setup.sh $(VENV) $*

demo: setup  ## SFT, sampling, annotation, embedding, heads, evaluation, report: about 5 minutes on 2 cores
	@$(BIN)/rmlab run experiment=demo

smoke: setup  ## every stage with stand-ins for the models, in seconds
	@$(BIN)/rmlab run experiment=smoke

SET ?= $(firstword $(wildcard data/released/*))
SEEDS ?= range(0,3)
# Settings of one set-up, to run no other:  make reproduce SETUP='set.policy=base set.reward=sentiment set.embedder=smollm2'
SETUP ?=
reproduce: setup  ## the findings of the study on the shipped embedding set, verdicts and all: under 15 minutes on 2 cores
	@$(BIN)/rmlab reproduce experiment=embedding_set input=$(SET) 'seed=$(SEEDS)' $(SETUP)

ALL_SEEDS ?= range(0,5)
reproduce-all: setup  ## every finding on all eight set-ups with 5 seeds: about an hour on 2 cores; goes on where it was stopped
	@$(BIN)/rmlab reproduce experiment=embedding_set input=$(SET) --all-setups 'seed=$(ALL_SEEDS)'

# What is compiled is kept for the next start, whatever the environment says; and files without such tests are not read.
test test-slow: export PYTHONDONTWRITEBYTECODE =
FILES_WITH = $(shell grep -rlE --include='test_*.py' 'mark\.$(1)\b' tests --exclude-dir=with_vllm)
IN_PARALLEL := -n logical --maxprocesses 4 --dist loadfile

test: setup-dev  ## the tests, on up to 4 cores; those that need the machine for themselves come after (under 10 minutes on 2 cores)
	@$(BIN)/python -m pytest $(IN_PARALLEL) -m "not alone and not slow"
	@$(BIN)/python -m pytest -m "alone and not slow" $(call FILES_WITH,alone)

test-slow: setup-dev  ## the long tests that `make test` leaves out
	@$(BIN)/python -m pytest $(IN_PARALLEL) -m "slow and not alone" $(call FILES_WITH,slow)
	@$(BIN)/python -m pytest -m "slow and alone" $(call FILES_WITH,alone)

test-all: test test-slow test-vllm faults siege fuzz  ## every test, fault and attack, and the fuzzer at length: hours

FAULTS ?=
faults: setup-dev  ## kills, full disks, two at once: what is interrupted goes on (up to 40 minutes; FAULTS=--quick: 5)
	@PYTHONPATH=tests $(BIN)/python -m faults $(FAULTS)

SIEGE ?=
siege: setup-dev  ## hostile files, folders, machines and neighbours (up to 20 minutes; SIEGE=--quick: under 3)
	@PYTHONPATH=tests $(BIN)/python -m siege $(SIEGE)

CASES ?= 5000
fuzz: setup-dev  ## hostile input for every reader, CASES of each: up to an hour of processor time
	@$(BIN)/python scripts/fuzz.py --cases $(CASES)

test-vllm: $(VLLM_VENV)/.ready  ## the sampler vllm with a real engine, in an environment of its own (.venv-vllm)
	@$(VLLM_VENV)/bin/python -m pytest tests/with_vllm

$(VLLM_VENV)/.ready: pyproject.toml constraints-vllm.txt locks/build.txt locks/vllm.txt scripts/setup_vllm.sh
	@PYTHON="$(PYTHON)" TORCH_INDEX="$(TORCH_INDEX)" sh scripts/setup_vllm.sh $(VLLM_VENV)

gpu-check: setup-dev  ## parity and speed on a CUDA device, with random weights of Gemma-2B's shape
	@$(BIN)/python scripts/gpu_check.py

reproduce-full: setup  ## what the study at full scale would run and cost (a dry run; see scripts/full_study.py)
	@$(BIN)/python scripts/full_study.py --dry-run

audit: setup-dev $(AUDIT_VENV)/.ready  ## licences of what is installed, and known vulnerabilities of all that is pinned (asks PyPI)
	@$(BIN)/python scripts/licences.py
	@PYTHONPATH=. $(AUDIT_VENV)/bin/python scripts/audit.py constraints.txt constraints-vllm.txt constraints-audit.txt

$(AUDIT_VENV)/.ready: locks/audit.txt
	@$(PYTHON) -m venv $(AUDIT_VENV) && echo '*' >$(AUDIT_VENV)/.gitignore
	@$(AUDIT_VENV)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps -r locks/audit.txt
	@touch $@

lock:  ## write the hashes of all that the constraints name into locks/ (asks the package index)
	@PYTHONPATH=. $(PYTHON) scripts/lock.py

lint: setup-dev  ## style
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

type: setup-dev  ## types
	@$(BIN)/mypy

layers: setup-dev  ## imports go one way
	@$(BIN)/lint-imports --no-cache

tables: setup-dev  ## make TABLES.md from the schemas in the code
	@$(BIN)/python scripts/tables.py

bench: setup-dev  ## the benchmarks at small sizes; --full in scripts/bench is the real thing
	@$(BIN)/python scripts/bench/heads.py --quick
	@$(BIN)/python scripts/bench/generation.py --quick
	@$(BIN)/python scripts/bench/score.py --quick
	@$(BIN)/python scripts/bench/serve.py --quick

release-data: setup-dev  ## make the embedding set in data/released again: under 90 minutes on 2 cores
	@$(BIN)/python scripts/release_data.py

wheel: setup-dev  ## build the wheel into dist/
	@$(BIN)/python -m build --wheel --no-isolation

clean:  ## remove the environment, build files and caches; artifacts/ stays
	rm -rf $(VENV) $(VLLM_VENV) $(AUDIT_VENV) dist build .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
