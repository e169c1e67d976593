# The whole life of a checkout. Everything is installed into .venv, as the lock files say; nothing else is touched.

.DEFAULT_GOAL := help
.PHONY: help up down demo test test-full test-fast check bench lock install install-dev
.ONESHELL:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PY := .venv/bin/python
UV := .venv/bin/uv
# further options of the command, as in `make up ARGS=--detach`
ARGS ?=

help:
	@echo "make up         start the whole stack here (make down ends it; ARGS=--detach returns when it is ready)"
	echo "make demo       the main job in one go, on spare ports and throw-away data"
	echo "make test       all tests; make test-fast: those that take under 90 s together; make test-full: every repetition"
	echo "make check      linter, types, layers"
	echo "make bench      measured figures"
	echo "make lock       renew the lock files from pyproject.toml"

up: install
	@exec $(PY) -m cli.main up $(ARGS)

down:
	@if [ -x $(PY) ]; then exec $(PY) -m cli.main down $(ARGS); else echo "nothing to end: not installed"; fi

demo: install
	@exec $(PY) -m cli.main demo $(ARGS)

# Three at a time keep two cores busy, since most tests wait half of the time. Bytecode is kept whatever the environment
# says: the processes that tests start would each compile the same modules.
PYTEST := exec env PYTHONDONTWRITEBYTECODE= $(PY) -m pytest

test: install-dev
	@$(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

test-full: install-dev
	@export TESTS_FULL=1
	$(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

test-fast: install-dev
	@$(PYTEST) -n 2 -m "not slow and not chaos and not browser and not bench" tests/domain tests/client tests/db tests/observability tests/workflows/test_replay.py $(ARGS)

check: install-dev
	@$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pyright
	.venv/bin/lint-imports

bench: install-dev
	@exec $(PY) -m benchmarks $(ARGS)

lock: .venv/.installer
	@compile() { $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --custom-compile-command "make lock" "$$@"; }
	compile requirements-bootstrap.in -o requirements-bootstrap.lock
	compile pyproject.toml -o requirements.lock
	compile pyproject.toml --extra dev -c requirements.lock -o requirements-dev.lock

install: .venv/.runtime
install-dev: .venv/.runtime .venv/.development

# A Python that is new enough and can make virtual environments; each way to lack one gets its own sentence.
.venv/bin/python:
	@for candidate in python3.11 python3.12 python3.13 python3 python; do
	    if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found="$$candidate"; break; fi
	done
	if [ -z "$${found:-}" ]; then
	    echo "ats needs Python 3.11 or newer and there is none on PATH: install one, on Debian and Ubuntu with" \
	        "\`apt-get install python3 python3-venv\`" >&2
	    exit 1
	fi
	if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then
	    version="$$("$$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
	    echo "$$found can't make virtual environments: install its venv module, on Debian and Ubuntu with" \
	        "\`apt-get install python$$version-venv\`" >&2
	    exit 1
	fi
	echo "making .venv with $$("$$found" --version)"
	"$$found" -m venv --clear .venv

.venv/.installer: requirements-bootstrap.lock | .venv/bin/python
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	touch $@

# install, not sync: `make up` after `make test` keeps what the tests need
.venv/.runtime: requirements.lock pyproject.toml .venv/.installer
	@$(UV) pip install --python $(PY) --quiet --require-hashes -r requirements.lock
	$(UV) pip install --python $(PY) --quiet --no-deps --no-build-isolation -e .
	# once, on every core: left to the first start, seven processes would each compile the same modules. A module of a
	# package that doesn't compile is the matter of who imports it.
	$(PY) -m compileall -qq -j 0 -x '/tests?/' .venv/lib || true
	touch $@

.venv/.development: requirements-dev.lock .venv/.runtime
	@$(UV) pip install --python $(PY) --quiet --require-hashes -r requirements-dev.lock
	touch $@
