# Everything happens in .venv, which the first target that needs it makes and the later ones reuse.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: demo test test-peers lint types bench clean

demo: .venv/installed           ## the story: four experiments on drawn pictures, one page
	$(BIN)/jaxcam demo --out runs/demo $(ARGS)

test: .venv/installed-dev       ## all tests but those that need PyTorch and Keras
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not peers" $(ARGS)

# As users have it: XLA optimises, which the many small programs of `make test` do without.
test-peers: .venv/installed-peers  ## the tests beside PyTorch and Keras
	JAX_DISABLE_MOST_OPTIMIZATIONS=0 XLA_FLAGS= $(BIN)/python -m pytest -n 2 --dist loadfile -m peers $(ARGS)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed-dev
	$(BIN)/mypy

bench: .venv/installed-peers    ## speed on this machine, beside the peers; about 40 minutes on two cores
	$(BIN)/python bench/everything.py $(ARGS)
	$(BIN)/python bench/table.py

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "jaxcam needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ .venv/installed

# torch alone first: asked for by that version it is the CPU build where one is offered.
.venv/installed-peers: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'torch==2.13.0'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,peers]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'grad-cam>=1.5.5'
	touch $@ .venv/installed .venv/installed-dev

clean:
	rm -rf .venv build dist *.egg-info
