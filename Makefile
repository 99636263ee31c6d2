# Everything a newcomer types. `make demo` shows what the plugin does, `make test` runs the suite.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 3
TESTS ?= tests
NORMAL := not gpu and not ngc
# Of the suite without containers, 92 % were measured.
FLOOR := 91
SAMPLE ?= 100
SEED ?= 1
DOCKER = $(shell docker version >/dev/null 2>&1 && echo yes)
RELEASES := 2.33.0 2.36.0 2.39.0 2.42.0 2.51.0

# Many tests start Python anew: its bytecode is kept, whatever the environment says.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.cache/bytecode
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo image unit test test-all suite containers releases test-release test-gpu lint docs matrix coverage mutation dist test-dist \
  benchmarks clean

# The main job on the example project, against a real tritonserver.
demo: $(VENV)/.ready
	$(BIN)/python -m pytest_triton install
	cd example_project && ../$(BIN)/python -m pytest --triton-repo=models

# A small image of Triton without GPU support and with the python backend only, for container tests.
image: $(VENV)/.ready
	scripts/build-image $(BIN)/python

# What needs no server, in under a minute. Nothing is downloaded for it.
unit: $(VENV)/.ready
	$(BIN)/python -m pytest -n $(WORKERS) -m 'not server and not browser and not slow'

# All tests that this machine can run. Its last line says what the others need.
test: suite $(if $(DOCKER),containers)

# All tests: what is missing is a failure. Run as root it starts a Docker daemon if there is none.
test-all:
	CI=true scripts/with-docker $(MAKE) --jobs=2 --output-sync=target test

# Tests of containers look at what is left on the whole Docker daemon, so they run one after the
# other. They mostly wait: `make --jobs=2 test` runs the others meanwhile. Without Docker they are
# among the others, to be skipped and counted.
suite: releases
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m '$(NORMAL)$(if $(DOCKER), and not docker)' $(TESTS)

containers: releases
	$(BIN)/python -m pytest -m '$(NORMAL) and docker' $(TESTS)

# All releases of tritonserver that the plugin can install.
releases: $(VENV)/.ready
	for release in $(RELEASES); do $(BIN)/python -m pytest_triton install $$release || exit 1; done

# A tritonserver of any release against the plugin's rules, with a report to paste:
# make test-release BINARY=/opt/tritonserver/bin/tritonserver, or IMAGE=nvcr.io/nvidia/...
test-release: $(VENV)/.ready
	scripts/test-release $(BIN)/python $(if $(IMAGE),--image "$(IMAGE)",--binary "$(BINARY)")

# What needs a real GPU.
test-gpu: $(VENV)/.ready
	$(BIN)/python -m pytest_triton install
	$(BIN)/python -m pytest -m gpu

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation, as pages in build/docs. Needs no network; warnings and broken links are errors.
docs: $(VENV)/.ready
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs build/docs
	$(BIN)/python scripts/check-links build/docs

# The plugin on the oldest and newest Python and pytest, and on the lowest dependencies.
matrix: $(VENV)/.ready
	scripts/matrix $(BIN)/uv

# Which lines the tests run, in what they start as well; fails below the floor. TESTS names a part.
coverage: releases
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group coverage
	scripts/coverage $(BIN)/python $(FLOOR) -- -n $(WORKERS) --dist worksteal -m '$(NORMAL) and not docker' $(TESTS)

# Which small breakages of placement, plan and ledger no unit test notices: a sample of them, some ten
# seconds each. MODULES names others, SEED another sample.
mutation: $(VENV)/.ready
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group coverage
	$(BIN)/python scripts/mutation $(MODULES) --sample=$(SAMPLE) --seed=$(SEED)

# What is published, into dist/, and its checks: the source distribution, wheels for Linux on x86_64
# and aarch64, and one for other systems. Needs gcc-aarch64-linux-gnu; MACHINES=x86_64 does without.
dist: $(VENV)/.ready
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group dist
	scripts/build-dist $(BIN)/python $(MACHINES)

# A part of the suite with the wheels of `make dist`, installed.
test-dist: $(VENV)/.ready
	scripts/test-wheel $(BIN)/uv

$(VENV)/.ready: pyproject.toml hatch_build.py $(wildcard src/pytest_triton/rehearsal/native/*.[ch]) \
  src/pytest_triton/rehearsal/native/build.json
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@

clean:
	rm -rf $(VENV) .venv-* .cache dist build
