# The two commands: `make run` and `make test`. Everything goes into .venv; nothing else is touched.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

NBVAL := ASSISTANTS_NO_PLUGINS=1 $(BIN)/python -m pytest -p nbval.plugin --nbval --nbval-sanitize-with notebooks/sanitise.cfg
VLLM := .venv-vllm
ON_VLLM := notebooks/10-serve-and-test.ipynb notebooks/11-audit-and-attribute.ipynb

# Without bytecode every process of the tests would take seconds to start.
unexport PYTHONDONTWRITEBYTECODE

# Tests wait more than they compute, so there are more workers than cores.
WORKERS := 4
PYTEST := $(BIN)/python -m pytest
DURATIONS := --durations=20 --durations-min=1
FAST := not slow and not browser and not kill
STAGES := unit browser notebooks behaviour numerics docs lint
NUMERIC := $(filter-out %plots.py %simulated.py,$(wildcard tests/analysis/test_*.py))
TUTORIALS := $(filter-out $(ON_VLLM),$(wildcard notebooks/*.ipynb))
# The output of a stage comes in one piece; make on macOS is too old for it.
IN_TURN := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

.PHONY: run lab install setup quick test lint fast unit behaviour browser notebooks numerics docs \
	test-vllm soak bench pictures sheet lock lock-vllm clean

# The embedded model of `make run` and `make lab`. It needs a download of 1.1 GB and 2.1 GB of memory; smollm2 0.1 and 0.8.
MODEL ?= qwen

# Fetches $$model, which becomes smollm2 where it cannot be had.
FETCH = { $(BIN)/assistants fetch "$$model" || { test "$$model" != smollm2 && model=smollm2 && \
	echo "$(MODEL) cannot be had here (see above): going on with smollm2, a much smaller model." && \
	$(BIN)/assistants fetch smollm2; }; }

run: install  ## the founding experiment on an embedded model, and its report; MODEL=smollm2 on small machines
	@model=$(MODEL); $(FETCH) && $(BIN)/assistants run experiments/inverse-square-law.yaml -m "$$model"

lab: install  ## JupyterLab on the notebooks
	@model=$(MODEL); $(FETCH)
	$(BIN)/jupyter lab --notebook-dir=. notebooks/01-start-here.ipynb

install: $(VENV)/installed

$(VENV)/bin/python:
	@test -n "$(PYTHON)" \
		|| { echo "Python 3.11 or newer is needed: make run PYTHON=/path/to/python"; exit 2; }
	@"$(PYTHON)" -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python requirements.lock pyproject.toml
	@echo "Installing; on the first run this downloads about 300 MB."
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed requirements-test.lock
	@$(PIP) --require-hashes -r requirements-test.lock
	@touch $@

$(VENV)/weights: $(VENV)/installed
	@$(BIN)/assistants fetch smollm2
	@touch $@

setup: $(VENV)/installed-test $(VENV)/weights
	@sh tests/support/install-browser.sh

quick: $(VENV)/installed-test $(VENV)/weights  ## what a developer runs every few minutes: lint and the fast tests
	@$(MAKE) --no-print-directory -j2 $(IN_TURN) lint fast

test: setup  ## everything but a real vLLM, with its own set-up: two stages at a time
	@$(MAKE) --no-print-directory -j2 --keep-going $(IN_TURN) $(STAGES)

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fast: $(VENV)/installed-test
	$(PYTEST) -q -n 3 --dist worksteal -m "$(FAST)" --hypothesis-profile quick

unit: $(VENV)/installed-test
	$(PYTEST) -n $(WORKERS) --dist loadfile -m "not browser" $(DURATIONS)

behaviour: $(VENV)/installed-test
	$(BIN)/behave --format progress --no-capture --logging-level WARNING tests/features

browser: $(VENV)/installed-test
	$(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder -m browser $(DURATIONS) tests/browser

# Each notebook in a folder of its own, as if it were the only one of a clone.
notebooks: $(VENV)/installed-test
	@rm -rf build/notebooks
	@for file in $(notdir $(basename $(TUTORIALS))); do \
		mkdir -p build/notebooks/$$file/notebooks && cp -r experiments build/notebooks/$$file/ && \
		cp notebooks/$$file.ipynb build/notebooks/$$file/notebooks/ || exit 1; done
	$(NBVAL) -n 2 --dist loadfile --nbval-cell-timeout 600 --timeout 900 build/notebooks/*/notebooks/*.ipynb

# The numeric tests once more, on the arithmetic of another processor. Figures and sums need no BLAS.
numerics: $(VENV)/installed-test
	@case "$$(uname -m)" in \
		x86_64|amd64) echo "OPENBLAS_CORETYPE=Haswell $(PYTEST) $(NUMERIC)" && \
			OPENBLAS_CORETYPE=Haswell $(PYTEST) -n 2 --dist loadfile $(NUMERIC) ;; \
		*) echo "numerics: no second BLAS kernel to test on this processor." ;; \
	esac

# Warnings are errors: a link, an anchor or a name that is not there; docs/hooks.py refuses what a page would fetch.
docs: $(VENV)/installed-test  ## the documentation, in build/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

$(VLLM)/installed: tests/on_vllm/requirements.lock tests/on_vllm/install.sh pyproject.toml
	@rm -rf $(VLLM)
	@sh tests/on_vllm/install.sh "$(PYTHON)" $(VLLM)
	@touch $@

test-vllm: $(VLLM)/installed $(VENV)/installed-test  ## on a real vLLM, on the CPU
	$(BIN)/assistants fetch smollm2
	$(VLLM)/bin/python -m pytest tests/on_vllm --timeout 1200 --durations=20 -o filterwarnings=default
	VLLM_CPU_KVCACHE_SPACE=1 ASSISTANTS_VLLM_PYTHON=$(CURDIR)/$(VLLM)/bin/python \
		$(NBVAL) --nbval-cell-timeout 900 --durations=20 $(ON_VLLM)

soak: $(VENV)/installed-test  ## an hour of kill -9
	ASSISTANTS_KILL_ROUNDS=1000 $(BIN)/pytest -m kill --timeout 7200

bench: $(VENV)/installed-test  ## what a trial costs beside the bare SDK, what tables and pages take
	$(BIN)/python bench/overhead.py
	$(BIN)/python bench/scale.py
	$(BIN)/python bench/effects.py
	$(BIN)/python bench/prefixes.py
	$(BIN)/python bench/knowledge.py --check
	sh tests/support/install-browser.sh
	$(BIN)/python bench/streaming.py --check

pictures: run $(VENV)/installed-test  ## those of the README, anew
	sh tests/support/install-browser.sh
	$(BIN)/pytest -q tests/browser/test_notebooks.py -k compare
	$(BIN)/python tests/support/pictures.py

sheet: $(VENV)/installed-test $(VENV)/weights  ## all notebooks and reports, light and dark, wide and narrow, in build/; ONLY=report
	sh tests/support/install-browser.sh
	PYTHONPATH=tests $(BIN)/python tests/support/sheet.py $(ONLY)

lock:  ## after a change of dependencies in pyproject.toml; needs uv
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command "make lock" --extra analysis --extra local --extra hub --extra knowledge --extra notebooks --extra serve --group build \
		pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command "make lock" --extra analysis --extra local --extra hub --extra knowledge --extra notebooks --extra serve --group build \
		--extra embeddings --extra otel --extra improve --group test --group docs -c requirements.lock pyproject.toml -o requirements-test.lock

lock-vllm:  ## after a change of tests/on_vllm/requirements.in; needs uv
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command "make lock-vllm" --override tests/on_vllm/overrides.txt \
		--extra analysis --extra local pyproject.toml tests/on_vllm/requirements.in \
		-o tests/on_vllm/requirements.lock

clean:
	rm -rf $(VENV) $(VLLM)
