# Two commands do everything on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

.PHONY: demo test test-fast test-deploy check mutants clean

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

# What runs compiled files where they are deployed: Python's runtimes, JavaScript's, and chromium, which is the machine's.
$(VENV)/.deploy: $(VENV)/.installed pyproject.toml
	$(RUN)/pip install --quiet --editable '.[deploy]'
	touch $@

tests/deploy/node_modules/.installed: tests/deploy/package-lock.json
	cd tests/deploy && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

test-deploy: $(VENV)/.deploy tests/deploy/node_modules/.installed
	$(RUN)/python -m pytest -m deploy -s

check: $(VENV)/.installed
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy

# Would the tests notice? Writes docs/mutants.md; goes on where it stopped. OPTIONS=--again tries the survivors anew.
mutants: $(VENV)/.installed
	$(RUN)/python -m studies.mutation $(OPTIONS)

clean:
	rm -rf $(VENV) tests/deploy/node_modules build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .mutation
