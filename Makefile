# Every target builds .venv from requirements.lock by itself when that is missing or out of date.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: .venv demo test test-expensive test-long lint types layers lock clean

# dm-reverb 0.14 has wheels for 3.9 to 3.11. On 3.11 TensorFlow 2.15 loses memory (docs/reliability.md).
PYTHON ?= $(shell for p in python3.10 python3.11 python3.9 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 9) <= sys.version_info < (3, 12))' 2>/dev/null && echo $$p && break; done)

demo: .venv
	bin/train_eval --gin_file=gin_configs/quickstart.gin

test: .venv
	.venv/bin/python -m pytest -m "not expensive" --numprocesses=2 --dist=loadfile

test-expensive: .venv
	.venv/bin/python -m pytest -m "expensive and not long" --numprocesses=2 --dist=load

test-long: .venv
	.venv/bin/python -m pytest -m long --numprocesses=2 --dist=load

lint: .venv
	.venv/bin/ruff check .

types: .venv
	.venv/bin/mypy

layers: .venv
	.venv/bin/python -m pytest tests/layers_test.py

.venv: .venv/.installed

.venv/.installed: requirements.lock setup.py
	@test -n "$(PYTHON)" || { echo "slac_tf: no Python 3.9 to 3.11 with venv found (expected one of python3.10, python3.11, python3.9, python3); install one, for example: apt-get install python3-venv, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@test "$$(uname -sm)" = "Linux x86_64" || { echo "slac_tf: this is $$(uname -sm), expected Linux x86_64, the one platform that dm-reverb is built for" >&2; exit 2; }
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	touch $@

# Needs uv (https://docs.astral.sh/uv); only for whoever changes requirements.in.
lock:
	uv pip compile --universal --python-version 3.9 --generate-hashes --custom-compile-command "make lock" requirements.in -o requirements.lock

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache build *.egg-info
