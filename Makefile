# Everything that must hold before a commit: `make check`. PYTHON is the interpreter of the environment to use.
PYTHON ?= .venv/bin/python

.PHONY: check format types test docs golden

check: format types test

format:
	$(PYTHON) -m black --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m litify lint runtime converter linter

types:
	$(PYTHON) -m mypy

test:
	$(PYTHON) -m pytest -n 2

docs:  # pages that are generated from the code
	$(PYTHON) -m litify_linter.document docs/rules

golden:  # rewrite the expected conversions; read the diff
	$(PYTHON) -m pytest tests/converter/test_golden.py tests/converter/test_notebooks.py --rewrite-golden
