# `make run` and `make test` set everything up the first time; PYTHON names another interpreter (3.11 or later).
PYTHON ?= python3
# LeNet's sigmoids take their time; what is given in ARGS stands in place of this.
ARGS ?= optimizer.lr=0.002 trainer.max_epochs=20

VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test

run: $(VENV)/.run-ready
	$(BIN)/python -m cnn_experiments data=digits $(ARGS)

test: $(VENV)/.test-ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest

$(VENV)/.run-ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.test-ready: $(VENV)/.run-ready
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@
