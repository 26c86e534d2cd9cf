# What a person types, and what CI types. Each target first installs what it lacks (.ci/setup).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
REPORTS := build/reports

# Without the data the tests that read it are skipped; with it nothing may be.
ifneq ($(wildcard ../shared/data/mnist),)
export MNIST_DIR ?= $(abspath ../shared/data/mnist)
endif

# Threads that wait for each other must not spin: on a machine with anything else to do, that
# makes each small operation of torch's wait for the scheduler (measured: 29 s become 2.4 s).
export OMP_WAIT_POLICY ?= PASSIVE
# Those of numpy spin when it is imported, and the tests start hundreds of programs that do.
export OPENBLAS_THREAD_TIMEOUT ?= 4

# Tests build crates in several folders from the same sources; ccache compiles each source once.
checks proof: export CMAKE_CXX_COMPILER_LAUNCHER := ccache
export CCACHE_DIR ?= $(CURDIR)/build/ccache
export CCACHE_BASEDIR ?= $(CURDIR)/build
export CCACHE_NOHASHDIR ?= true

# Two runs at once would write the same build/: the second waits for the first.
ALONE := flock --close Makefile

.PHONY: help demo test proof bench lint format clean checks cpp python

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 15

demo: ## checkpoint -> crate -> verified -> published -> pulled -> read back by every runner
	@.ci/setup python cpp
	@$(ALONE) $(BIN)/torchcrate demo

test: ## everything that CI asks: style, types, C++, Python, pipeline
	@.ci/setup python cpp tests
	@$(ALONE) $(MAKE) checks

proof: ## the long proofs; prints the tables that docs/ keeps
	@.ci/setup python cpp tests
	@$(ALONE) $(MAKE) cpp PRESET=release
	@$(ALONE) $(BIN)/pytest -m proof -s

bench: ## every benchmark, in about an hour: tables, build/bench/bench.json, pictures
	@.ci/setup python cpp
	$(BIN)/torchcrate export --out build/crate
	@$(ALONE) $(BIN)/torchcrate verify build/crate
	@$(ALONE) $(BIN)/torchcrate bench build/crate --all --files 60000

lint: export MYPY_CACHE_DIR := $(CURDIR)/.mypy_cache # what torch says of its types is read once
lint: ## ruff, clang-format and mypy, as CI runs them
	@.ci/setup python
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/clang-format --dry-run --Werror cpp_demo/*.cpp cpp_demo/*.h cpp_demo/bench/*.cpp
	rm -rf build/types build/lib build/bdist.*
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --target build/types .
	rm -rf torchcrate.egg-info # setuptools leaves it behind
	MYPYPATH=build/types $(BIN)/mypy -p torchcrate
	rm -rf build/types/* # and the runners, as they lie in a crate
	cp runners/*.py model/net.py model/preprocess.py model/calling.py build/types
	rm build/types/__init__.py
	cd build/types && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml *.py

format: ## let ruff and clang-format lay the code out
	@.ci/setup python
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i cpp_demo/*.cpp cpp_demo/*.h cpp_demo/bench/*.cpp

clean: ## remove what was built, but not .venv
	rm -rf build *.egg-info .gitlab-ci-local

# The parts of `test`: style and types keep one core busy while the other compiles.
checks:
	@$(MAKE) --jobs 2 --output-sync=target lint cpp
	@$(MAKE) python

# The units, and the golden vectors of a crate that is exported for them, in a build that tells of
# each access out of bounds. The program as consumers build it is the one that pytest asks.
cpp: PRESET := sanitize
cpp:
	$(BIN)/torchcrate export --out build/crate
	mkdir -p $(REPORTS)
	cmake --preset $(PRESET) \
	    -DCMAKE_PREFIX_PATH="$$($(BIN)/python -c 'import torch; print(torch.utils.cmake_prefix_path)')" \
	    -DTORCHCRATE_CRATE=$(CURDIR)/build/crate
	cmake --build build/$(PRESET)
	ctest --test-dir build/$(PRESET) --output-on-failure \
	    --output-junit $(CURDIR)/$(REPORTS)/ctest-$(PRESET).xml

# The tests start hundreds of programs: what those import is compiled once, and here.
unexport PYTHONDONTWRITEBYTECODE
ROOMS := $(filter-out build docs templates tests,$(patsubst %/,%,$(wildcard */)))

python:
	mkdir -p build # pytest's own folder lies there too, under what ccache takes for the same folder
	$(BIN)/python -m compileall -q $(ROOMS)
	$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder --basetemp build/pytest \
	    --durations 15 --junit-xml=$(REPORTS)/pytest.xml
