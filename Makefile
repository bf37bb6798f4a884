.DEFAULT_GOAL := help
VENV ?= .venv
PY := $(VENV)/bin/python

.PHONY: help venv serve test lint check programs clients conformance storage-large docker-new stress bench
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

venv: $(VENV)/.installed ## the virtual environment with everything pinned in constraints.txt
$(VENV)/.installed: $(VENV)/.serves
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --editable '.[dev,all]'
	touch $@

$(VENV)/.serves: pyproject.toml constraints.txt
	test -x $(PY) || python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --editable '.[all]'
	touch $@

serve: $(VENV)/.serves ## start the registry on port 5000
	$(VENV)/bin/longshore serve

test: venv ## the quick tests: they need no other program
	$(PY) -m pytest -m 'not service'

lint: venv ## format, lint, types, import contracts
	$(VENV)/bin/ruff format --check --quiet
	$(VENV)/bin/ruff check --quiet
	$(VENV)/bin/mypy --no-error-summary
	$(VENV)/bin/lint-imports
	$(VENV)/bin/pip check --quiet

check: venv programs lint ## everything: install what the tests run, lint, all tests with real clients
	$(PY) -m pytest -n 3 --dist loadfile

programs: ## what the tests run: Debian packages (with root or sudo), Go and Node tools, OpenStack
	scripts/install-debian-packages
	scripts/install-go-tools
	scripts/install-node-tools
	scripts/install-openstack

clients: venv programs ## only the tests with docker, podman, skopeo, crane, regctl, oras ...
	$(PY) -m pytest -n 2 --dist loadfile tests/clients

conformance: venv programs ## only the OCI conformance program
	$(PY) -m pytest tests/conformance

storage-large: venv programs ## drivers with objects of 3 GB and lists of 10,000 (10 GB of memory, minutes)
	$(PY) -m pytest -m large tests/storage

docker-new: venv programs ## Docker 26 with the containerd image store, in a Debian 13 tree (root, 1 GB)
	scripts/install-debian-13-tree
	$(PY) -m pytest tests/clients/newer/docker_26.py

stress: venv programs ## garbage collection under load and in many interleavings, about ten minutes
	GC_STRESS_SECONDS=180 GC_EXAMPLES=1000 $(PY) -m pytest --timeout 0 tests/gc/test_stress.py tests/gc/test_interleavings.py

bench: venv programs ## speed beside other registries, into docs/benchmarks.md; BENCH=--quick only prints
	$(PY) -m benchmarks $(or $(BENCH),--client --write)
