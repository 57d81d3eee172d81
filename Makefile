# Everything a developer or CI runs. It needs make, and a python3 of at least 3.11 with venv; the rest it installs into
# $(VENV). Another interpreter: make test PYTHON=python3.13 VENV=.venv-3.13

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet
BROWSER := $(if $(shell command -v chromium),--group browser)

# Two workers, each with whole files; CI measures the branches that the tests reach
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile $(if $(CI),--cov --cov-report=)

.PHONY: help demo test check bench docs screenshots parity golden blocklist format clean

help:                      ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: $(VENV)/.demo        ## serve a small site with members on http://127.0.0.1:8000; it prints how to log in
	@$(BIN)/python examples/starlette_site/app.py

test: $(VENV)/.dev         ## run the tests; the last lines say which servers were not there to be tested
	@$(PYTHON) tests/parity/django_interpreter.py
	$(PYTEST) $(ARGS)

check: $(VENV)/.check      ## lint, types, import layers, documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir $(VENV)/site

bench: $(VENV)/.dev        ## compare speed with hand-written code, side by side, in about five minutes
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.check       ## serve the documentation on http://127.0.0.1:8001
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --dev-addr 127.0.0.1:8001

screenshots: $(VENV)/.check ## make the pictures of the documentation anew, with Chromium
	$(BIN)/python -m examples.starlette_site.screenshots

parity: $(VENV)/.dev       ## print how each behaviour and test of Django's is matched here, or why not, and publish it
	@$(BIN)/python -m tests.parity.conformance
	@$(BIN)/python -m tests.parity.page

golden: $(VENV)/.check     ## write the golden files anew, with a real Django 6.1
	$(PYTHON) tests/parity/django_interpreter.py
	$(BIN)/python -m tests.parity.make_golden

blocklist: $(VENV)/.dev    ## write the list of common passwords anew; needs npm
	$(BIN)/python -m tests.passwords.make_blocklist

format: $(VENV)/.check     ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:                     ## remove what the other targets have made
	rm -rf .venv .venv-* site dist .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.pip:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("asgiauth needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.demo: $(VENV)/.pip pyproject.toml
	$(PIP) --editable ".[sqlite,sqlalchemy,html,strength]" --group demo
	@touch $@

$(VENV)/.dev: $(VENV)/.pip pyproject.toml
	$(PIP) --editable ".[all]" --group dev $(BROWSER)
	@touch $@

$(VENV)/.check: $(VENV)/.pip pyproject.toml
	$(PIP) --editable ".[all]" --group check
	@touch $@
