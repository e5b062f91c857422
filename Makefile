# CodeBuddy's commands. Each is a short name for the Ansible or Molecule call that stands in it.
#
#   INVENTORY=path   your own inventory instead of inventory/ (file or directory); the defaults below it stay in force;
#                    with `make -C`, an absolute path
#   PYTHON=python    the Python (3.11 or newer) that .venv is made with
#   ARGS=...         more arguments for ansible-playbook, such as -v or --ask-become-pass

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

INVENTORY ?= inventory/
PYTHON ?= python3
VENV := .venv
# Installed when this file is there: its name changes with the pinned requirements, and with the place, which a venv is bound to.
READY := $(VENV)/.ready-$(firstword $(shell { cat requirements.txt; pwd; } | cksum))
PLAYBOOK = ansible-playbook -i inventory/defaults.yml -i '$(INVENTORY)' $(ARGS)

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export INVENTORY PROJECT SCOPES TOOLS TTL CLIENT PURGE

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^# [A-Z][a-z]+ -+$$/ { split($$0, word, " "); printf "\n%s\n", word[2] } \
		/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Deploy ---------------------------------------------------------------------------------------------------------------

.PHONY: up plan down status token client-config
up: $(READY) ## build and deploy the fleet of the inventory, prove its isolation, tell how to connect
	@$(PLAYBOOK) site.yml

plan: $(READY) ## show what `make up` would change, as a diff; changes nothing
	@$(PLAYBOOK) site.yml --check --diff

down: $(READY) ## stop and remove what the fleet created; PURGE=1 removes volumes and state too
	@$(PLAYBOOK) playbooks/down.yml

status: $(READY) ## show hub and spokes, and the reason for anything not ready; fails when anything is not
	$(call answer,playbooks/status.yml)

token: $(READY) ## print a client token; PROJECT=id[,id] (all) SCOPES=read,write,run TOOLS=all|lean TTL=30d
	$(call answer,playbooks/token.yml)

client-config: $(READY) ## print the configuration of an MCP client; CLIENT=claude-desktop (default)|claude-code|codex|gemini|...
	$(call answer,playbooks/client-config.yml)

# Runs a playbook that leaves its answer in a file, and prints the answer alone, with a note to people, if there is one, on
# standard error; Ansible's own words only when there is no answer. A playbook may fail with an answer.
answer = @directory=$$(mktemp -d); trap 'rm -rf "$$directory"' EXIT; status=0; \
	$(PLAYBOOK) $(1) -e codebuddy_answer="$$directory/answer" >"$$directory/log" 2>&1 || status=1; \
	if [ -e "$$directory/answer" ]; then cat "$$directory/answer"; else cat "$$directory/log" >&2; status=1; fi; \
	if [ -e "$$directory/answer.note" ]; then cat "$$directory/answer.note" >&2; fi; \
	exit $$status

# Test -----------------------------------------------------------------------------------------------------------------

.PHONY: test lint unit scenarios modules
test: lint unit scenarios modules ## all that CI runs: lint, unit tests, every Molecule scenario, end-to-end tests

lint: $(READY) ## ansible-lint, yamllint, ruff, mypy
	yamllint .
	ansible-lint --offline
	ruff check
	ruff format --check
	mypy hub/src
	mypy $$(find roles tests \( -path '*/files' -o -path '*/languages/cases' -o -path '*/clients/programs' \) -prune -o -name '*.py' -print)

# They wait more than they compute: one process more than there are cores.
unit: $(READY) ## the unit tests, which need no engine
	pytest -m 'not engine' -n $$(($$(nproc) + 1))

# A fleet under another name, on another port and address pool: one that you use is not touched.
scenarios: $(READY) ## every Molecule scenario; one alone: SCENARIO=isolation
	$(if $(SCENARIO),,molecule destroy)
	molecule test $(if $(SCENARIO),-s '$(SCENARIO)',--all)

# After the scenarios, whose engine role has seen to it that an engine runs.
modules: $(READY) ## the tests of the fleet module that need an engine
	pytest -m engine

.PHONY: test-clients
# On the scenarios' fleet, which is deployed if it is not there. CI tests those of them that it has the time for.
test-clients: $(READY) ## the agents and SDKs that people use against the deployed hub, as a table; CLIENTS=name[,name]
	@$(MAKE) up INVENTORY=molecule/inventory.yml >/dev/null
	@CODEBUDDY_TEST_CLIENTS='$(or $(CLIENTS),all)' pytest -q tests/clients

.PHONY: test-real
# On a fleet of their own, which is deployed if it is not there.
test-real: $(READY) ## projects that others wrote: their tests through the hub and by hand, as a table; PROJECTS=name[,name]
	@$(MAKE) up INVENTORY=tests/real/inventory.yml >/dev/null
	@CODEBUDDY_TEST_FLEET=cbreal CODEBUDDY_TEST_PORT=3910 CODEBUDDY_TEST_DIR=~/.cache/codebuddy-real \
		CODEBUDDY_TEST_PROJECTS='$(or $(PROJECTS),all)' pytest -q tests/real

# Measure --------------------------------------------------------------------------------------------------------------

.PHONY: bench-edits bench-code bench-run bench-read bench-load bench-bystander bench-tokens
# On the scenarios' fleet, which is deployed if it is not there; what it prints are ratios of two things done in turn.
bench-edits: $(READY) ## what an edit costs, as a ratio to plain durable writes of the same files
	@$(MAKE) up INVENTORY=molecule/inventory.yml >/dev/null
	@docker exec -i cbtest-hub /opt/codebuddy/bin/python - /workspaces/project-a < tests/bench/edits.py

# On the fleet of the scenario `languages`, which is deployed if it is not there.
bench-code: $(READY) ## container start to first right find_references, and what the hub adds to each server's own time
	@molecule converge -s languages >/dev/null
	@python tests/bench/code.py

# On the scenarios' fleet, which is deployed if it is not there.
bench-run: $(READY) ## what a command costs against `docker exec`, and what a gigabyte of output costs in memory
	@$(MAKE) up INVENTORY=molecule/inventory.yml >/dev/null
	@python tests/bench/run.py

# On the scenarios' fleet, which is deployed if it is not there.
bench-load: $(READY) ## what a busy machine loses: 30 busy processes, four clients, runs of three minutes; SECONDS=300
	@$(MAKE) up INVENTORY=molecule/inventory.yml >/dev/null
	@SECONDS=$(or $(SECONDS),300) python tests/bench/load.py

# On the scenarios' fleet, which is deployed if it is not there.
bench-bystander: $(READY) ## how long a client's calls take while another one attacks the hub in six ways; ROUNDS=3, ATTACKS="searches"
	@$(MAKE) up INVENTORY=molecule/inventory.yml >/dev/null
	@ROUNDS=$(or $(ROUNDS),3) $(if $(ATTACKS),ATTACKS="$(ATTACKS)") python tests/bench/bystander.py

# On the scenarios' fleet, which is deployed if it is not there.
bench-read: $(READY) ## what a read over HTTP costs against the official filesystem server over stdio, and a batch against one call
	@$(MAKE) up INVENTORY=molecule/inventory.yml >/dev/null
	@python tests/bench/read.py

# On the scenarios' fleet, which is deployed if it is not there; the definitions need none.
bench-tokens: $(READY) ## what a model pays: tokens of the tools' definitions, and of typical answers as text and as JSON
	@$(MAKE) up INVENTORY=molecule/inventory.yml >/dev/null
	@python tests/bench/tokens.py

# Renew ----------------------------------------------------------------------------------------------------------------

.PHONY: lock
LOCK = uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --custom-compile-command 'make lock'
lock: $(READY) ## renew the pinned requirements
	$(LOCK) --universal --python-version 3.11 hub/pyproject.toml -o hub/requirements.txt
	for list in roles/spokes/files/toolchains/*/requirements.in; do \
		$(LOCK) --universal --python-version 3.13 "$$list" -o "$${list%.in}.txt"; done
	$(LOCK) --universal --python-version 3.11 requirements.in hub/pyproject.toml -c hub/requirements.txt -o requirements.txt

$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'CodeBuddy needs Python 3.11 or newer; say which one: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		echo "Installing python3-venv, which Debian's Python comes without ..." >&2; \
		sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); $$sudo apt-get update -qq >&2 && $$sudo apt-get install -qq python3-venv >&2 || { \
		echo 'Python cannot make a virtual environment here; install its venv module (Debian: apt install python3-venv).' >&2; \
		exit 1; }; }
	@echo 'Installing the pinned requirements into $(VENV), once; this takes a minute or more ...' >&2
	@$(PYTHON) -m venv --clear $(VENV)
	@# Twice quiet: without the warnings about this machine's configuration of pip, one for each package.
	@$(VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.txt >&2
	@# Not the collections, which are many and of which few are used: they are compiled when they are.
	@$(VENV)/bin/python -m compileall -q -j 0 -x ansible_collections $(VENV)/lib >/dev/null || true
	@touch $@
