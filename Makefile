# revoice: `make run` makes everything, `make test` checks everything; both set themselves up.

CORES ?= all
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
# The first Python that is new enough for Snakemake and can make environments.
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
FIND_PYTHON := for p in $(PYTHON) python3 python3.13 python3.12 python3.11 /usr/bin/python3; do \
	$$p -c '$(SUITABLE)' 2>/dev/null && command -v $$p && break; done
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --use-pep517

.PHONY: run test torture lint format docs setup setup-dev requirements rulegraph report clean-work help

help:
	@grep -E '^[a-z-]+:.*#' Makefile | sed 's/:.*#/\t/'

run: setup # everything, from raw audio to results/index.html
	snakemake --cores $(CORES)

test: setup-dev lint # unit, parity and workflow tests with coverage, and lint
	pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder \
		--cov=revoice --cov-report=term:skip-covered

torture: setup-dev # a hundred runs that are killed at a random moment; KILLS=1000 for more
	REVOICE_KILLS=$(or $(KILLS),100) pytest --numprocesses 2 tests/workflow/test_faults.py -k killed

lint: setup-dev # ruff, snakefmt, snakemake --lint, mypy
	ruff check .
	ruff format --check .
	snakefmt --check --compact-diff Snakefile rules
	snakemake --lint
	mypy revoice

format: setup-dev # rewrite what ruff and snakefmt would complain about
	ruff check --fix .
	ruff format .
	snakefmt Snakefile rules

docs: setup # docs/config.md and config.schema.json, from revoice/config*.py
	python docs/make_config.py

setup: $(READY) # the environment, in .venv

setup-dev: $(READY_DEV)

# A machine whose newest Python is 3.10 gets one that suits, through uv.
$(READY): envs/requirements.txt envs/requirements-nodeps.txt pyproject.toml
	@python=$$($(FIND_PYTHON)); \
	if [ -x $(BIN)/python ]; then :; \
	elif [ -n "$$python" ]; then "$$python" -m venv $(VENV); \
	else python3 -m venv .setup && .setup/bin/pip install --quiet uv \
		&& .setup/bin/uv venv --quiet --seed --python 3.12 $(VENV); fi
	$(PIP) -r envs/requirements.txt
	$(PIP) --no-deps -r envs/requirements-nodeps.txt
	$(PIP) --no-deps --editable .
	@touch $@

$(READY_DEV): $(READY) envs/requirements-dev.txt envs/requirements-voices.txt
	$(PIP) -r envs/requirements-dev.txt
	$(PIP) --require-hashes --no-deps -r envs/requirements-voices.txt
	@touch $@

# CUDA's packages are left to torch itself: which ones it needs depends on the build.
requirements: # pin anew what pyproject.toml asks for
	for extra in "" dev; do \
		uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
			--no-annotate --no-header $${extra:+--extra $$extra} pyproject.toml \
		| grep -vE '^(nvidia-|cuda-|triton)' > envs/requirements$${extra:+-$$extra}.txt; done

rulegraph: setup # the graph in docs/rulegraph.md
	@{ sed '/^```mermaid$$/,$$d' docs/rulegraph.md; echo '```mermaid'; \
		snakemake --rulegraph mermaid-js 2>/dev/null | sed '/^---$$/,/^---$$/d; /style/d'; echo '```'; \
	} > rulegraph.new && mv rulegraph.new docs/rulegraph.md

report: setup # results/report.html: Snakemake's own account of a finished run
	snakemake --report results/report.html

clean-work: setup # remove the states of trainings that nobody has gone on with for 30 days
	python -c "from revoice.training.state import clean_work; clean_work('work', max_age_days=$(or $(DAYS),30))"
