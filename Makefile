# Everything a newcomer types. `make demo` shows what the plugin does, `make test` runs the suite.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 3
RELEASES := 2.33.0 2.36.0 2.39.0 2.42.0 2.51.0

# Many tests start Python anew: its bytecode is kept, whatever the environment says.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.cache/bytecode
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo image test suite containers releases test-gpu lint matrix benchmarks clean

# The main job on the example project, against a real tritonserver.
demo: $(VENV)/.ready
	$(BIN)/python -m pytest_triton install
	cd example_project && ../$(BIN)/python -m pytest --triton-repo=models

# A small image of Triton without GPU support and with the python backend only, for container tests.
image: $(VENV)/.ready
	scripts/build-image $(BIN)/python

# The whole suite. Tests of containers look at what is left on the whole Docker daemon, so they run
# one after the other. They mostly wait: `make --jobs=2 test` runs the others meanwhile.
test: suite containers

suite: releases
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --ignore-glob='*test_container*'

containers: releases
	$(BIN)/python -m pytest tests/servers/test_container*.py

# All releases of tritonserver that the plugin can install.
releases: $(VENV)/.ready
	for release in $(RELEASES); do $(BIN)/python -m pytest_triton install $$release || exit 1; done

# What needs a real GPU.
test-gpu: $(VENV)/.ready
	$(BIN)/python -m pytest_triton install
	$(BIN)/python -m pytest -m gpu

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The plugin on the oldest and newest Python and pytest, and on the lowest dependencies.
matrix: $(VENV)/.ready
	scripts/matrix $(BIN)/uv

$(VENV)/.ready: pyproject.toml hatch_build.py $(wildcard src/pytest_triton/rehearsal/native/*.[ch])
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@

clean:
	rm -rf $(VENV) .venv-* .cache dist build
