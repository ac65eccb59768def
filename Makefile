# What can be done here: make help
SHELL := /bin/bash
PORT ?= 8000
HOST ?= 127.0.0.1
PYTHON := .venv/bin/python
OWN_ROOT := $(PYTHON) scripts/own_root.py
export RPA_BASE_URL ?= http://$(HOST):$(PORT)

.PHONY: help run fleet test setup lint format types imports bench soak chaos messages clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

run: setup ## set everything up, start on http://127.0.0.1:8000 (PORT=), run a sample robot
	@$(OWN_ROOT) $(PYTHON) manage.py serve --host $(HOST) --port $(PORT) --demo

fleet: setup ## start a server, beat and three runners on the MariaDB and the broker that are here (PORT=)
	@$(OWN_ROOT) $(PYTHON) scripts/fleet.py --port $(PORT)

setup: ## install what running needs
	@scripts/setup.sh run

test: ## set up what the tests need, then run every check and every test
	@scripts/setup.sh test
	@$(OWN_ROOT) scripts/test.sh

lint: ## ruff
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .

format: ## ruff, writing
	@.venv/bin/ruff check --fix . ; .venv/bin/ruff format .

types: ## mypy --strict
	@.venv/bin/mypy

imports: ## the import contracts
	@.venv/bin/lint-imports

bench: ## measure, as ratios to baselines of the same run
	@scripts/setup.sh test
	@$(OWN_ROOT) $(PYTHON) -m benchmarks

soak: ## a million deliveries under fire, each checked (SOAK="--database mariadb" and other options)
	@scripts/setup.sh test
	@$(PYTHON) -m benchmarks.soak $(SOAK)

chaos: ## kill every part of a fleet while runs are in flight, and count what came of them (CHAOS=options)
	@scripts/setup.sh test
	@$(OWN_ROOT) $(PYTHON) -m benchmarks.chaos $(CHAOS)

messages: ## collect the strings to translate (needs gettext)
	@$(PYTHON) scripts/messages.py

clean: ## remove the virtual environment (not the data)
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache
