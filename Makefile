# `make run`, `make test` and `make docs` set everything up the first time; PYTHON names another interpreter (3.11 or later).
PYTHON ?= python3
# LeNet with sigmoids learns slowly, so this run is longer than the default; ARGS on the command line replaces it.
ARGS ?= optimizer.lr=0.002 trainer.max_epochs=20

VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test docs pictures

run: $(VENV)/.run-ready
	$(BIN)/python -m cnn_experiments data=digits $(ARGS)

test: $(VENV)/.test-ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist worksteal

docs: $(VENV)/.docs-ready
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build --jobs auto --fail-on-warning --keep-going --builder html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

pictures: $(VENV)/.docs-ready
	$(BIN)/python scripts/update_pictures.py

$(VENV)/.run-ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.test-ready: $(VENV)/.run-ready
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

$(VENV)/.docs-ready: $(VENV)/.run-ready
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $@
