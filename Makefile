# make demo   set up, make the embedded data, train, evaluate, print the test numbers and the report's path
# make test   set up and run the whole test suite, the notebooks included
# make lab    set up and open the notebooks in JupyterLab

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test lab lint clean

demo: $(STAMP)
	$(BIN)/fracturelib simulate data/simulated
	$(BIN)/python train.py --data data/simulated --name demo --resume

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	FRACTURELIB_FAST=1 FRACTURELIB_OFFLINE=1 FRACTURELIB_WEIGHTS=distilled $(BIN)/python -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=300 tests notebooks

lab: $(STAMP)
	$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks/01_data_exploration.ipynb

# The stamp keeps the second call fast; it is renewed when a version or a dependency changes.
$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which with: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $(STAMP)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis
