# Two commands do everything on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

.PHONY: demo test test-fast test-deploy check train clean

# pip runs again only when pyproject.toml changes.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install --quiet --upgrade pip
	$(RUN)/pip install --quiet torch torchvision
	$(RUN)/pip install --quiet --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(RUN)/python -m models.demo

test: $(VENV)/.installed
	$(RUN)/python -m pytest -m "not slow and not deploy" -n 2 --dist worksteal
	$(RUN)/python -m pytest -m slow -s

test-fast: $(VENV)/.installed
	$(RUN)/python -m pytest -m "not slow and not deploy" -n 2 --dist worksteal

test-deploy: $(VENV)/.installed
	$(RUN)/python -m pytest -m deploy

check: $(VENV)/.installed
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
