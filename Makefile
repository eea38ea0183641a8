# make demo   set up, make the embedded data, train, evaluate, print the test numbers and where report and page are
# make lab    set up and open a copy of the notebooks without outputs, in my_notebooks/; what you worked in stays
# make lab-outputs   open the notebooks as they are, with the outputs of a whole run
# make site   the notebooks with their outputs, the pages in docs/ and the demo's page of cases, as HTML in site/
# make slides slides for each session of docs/teaching.md, in build/slides/
# make lint   style, types, duplicates, and how large the library is
# make quick  the fast tests: no notebook is executed, no browser started; about a minute on two cores
# make test   the whole test suite, the notebooks and the browser included; a few minutes on two cores

PYTHON       ?= python3
REQUIREMENTS ?= requirements.txt
WORKERS      ?= 2
VENV         := .venv
BIN          := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
STAMP        := $(VENV)/.installed
# On Linux PyPI's PyTorch is the CUDA build, of no use without an NVIDIA driver. TORCH=cpu or TORCH=cuda decides by hand.
DRIVER       ?= /proc/driver/nvidia/version
TORCH        ?= $(if $(filter Linux,$(shell uname -s)),$(if $(wildcard $(DRIVER)),cuda,cpu),plain)
TORCH_INDEX  ?= https://download.pytorch.org/whl/cpu
# Tests run side by side, file by file, each process with one thread: more would fight for the cores.
PYTEST       := OMP_NUM_THREADS=1 FRACTURELIB_FAST=1 FRACTURELIB_OFFLINE=1 FRACTURELIB_WEIGHTS=distilled \
                $(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder --durations=15

.PHONY: demo lab lab-outputs lint quick site slides test packages clean

demo: $(STAMP)
	$(BIN)/fracturelib simulate data/simulated
	$(BIN)/python train.py --data data/simulated --name demo --resume
	$(BIN)/fracturelib page runs/demo

lab: $(STAMP)
	$(BIN)/python -m tools.student_copies
	$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/my_notebooks/00_first_look.ipynb

lab-outputs: $(STAMP)
	$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks/00_first_look.ipynb

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tools.duplicates fracturelib
	$(BIN)/python -m tools.code_lines fracturelib

quick: $(STAMP)
	$(PYTEST) -m "not slow and not browser and not notebook" tests

test: $(STAMP)
	$(PYTEST) --nbval-lax --nbval-current-env --nbval-cell-timeout=300 tests notebooks

site: $(STAMP)
	$(BIN)/python -c 'import myst_nb, sphinx_book_theme' 2> /dev/null || $(BIN)/python -m pip install --quiet --editable '.[site]'
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --conf-dir docs/site . site -d build/site
	@echo "Open site/index.html"

slides: $(STAMP)
	$(BIN)/python -c 'import sphinx_revealjs' 2> /dev/null || $(BIN)/python -m pip install --quiet --editable '.[site]'
	$(BIN)/python -m tools.slides

# The stamp keeps the second call fast; it is renewed when a version or a dependency changes.
$(STAMP): $(REQUIREMENTS) pyproject.toml
	@$(MAKE) --no-print-directory packages GOALS="$(MAKECMDGOALS)"
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $(STAMP)

packages:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which with: make PYTHON=python3.11 $(or $(GOALS),$(MAKECMDGOALS))"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
ifeq ($(TORCH),cpu)
	@$(BIN)/python -m pip install --quiet --no-deps --retries 0 --timeout 5 --index-url $(TORCH_INDEX) \
	  --constraint $(REQUIREMENTS) torch torchvision 2> /dev/null \
	  || echo "The index of PyTorch's CPU builds did not answer with these versions: the plain install follows."
endif
	$(BIN)/python -m pip install --quiet -r $(REQUIREMENTS)

clean:
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
