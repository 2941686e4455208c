# The same checks at a desk and in CI. `make check` runs all of them in CI's order.
PYTHON ?= python

.PHONY: check format lint types imports test fix lock

check: format lint types imports test

format:
	$(PYTHON) -m ruff format --check .

lint:
	$(PYTHON) -m ruff check .

types:
	$(PYTHON) -m mypy

imports:
	lint-imports

test:
	$(PYTHON) -m pytest -n auto --dist loadfile

fix:
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

# Write the tested set down: names and versions only, no address of a registry, no local build tag.
lock:
	$(PYTHON) -m pip freeze --exclude-editable | sed -E 's/\+cpu$$//; s/ @ .*//' | sort -f > constraints.txt
