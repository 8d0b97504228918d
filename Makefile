# slopewatch. `make demo` and `make test` set everything up on a fresh machine; `make help` tells.
SHELL := /bin/sh
VENV  := .venv
BIN   := $(VENV)/bin
FRESH ?=

# Some machines forbid bytecode files; then each of the processes that tests start compiles all anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo up down kafka test test-slow bench lint format docs site calibrate weights skill clean \
	chaos

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

demo: $(VENV)/.base ## three simulated slopes, from the satellite pass to the warning in the inbox
	@$(BIN)/slopewatch demo $(if $(FRESH),--fresh)

up: $(VENV)/.dev ## the whole on this machine: Kafka, PostgreSQL, S3, the services, Airflow
	@$(BIN)/python -m tools.engine up

down: ## end what `make up` started
	@$(BIN)/python -m tools.engine down

kafka: $(VENV)/.dev ## one Kafka broker on 127.0.0.1:19092, in the foreground
	@$(BIN)/python -m tools.engine.kafka run .engine/kafka 19092

test: $(VENV)/.dev ## everything that must hold: style, types, architecture, tests (CI runs this)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 --dist loadgroup -m "not slow"

test-slow: $(VENV)/.dev ## the long forms of the suites
	$(BIN)/pytest -n 2 --dist loadgroup -m slow

chaos: $(VENV)/.dev ## a season on the real engines under 220 faults (some 20 minutes)
	$(BIN)/python -m tests.chaos.engine.play

bench: $(VENV)/.dev ## measure; every benchmark prints its conditions and its peer
	$(BIN)/python -m benchmarks

lint: $(VENV)/.dev ## style, types, architecture
	$(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

docs: $(VENV)/.dev ## write the generated pages of docs/ anew
	$(BIN)/python -m services.reference

calibrate: $(VENV)/.dev ## make the rules' thresholds anew from the calibration seeds (some minutes)
	$(BIN)/python -m services.scoring.calibrate

site: $(VENV)/.dev ## the documentation as a site, into build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

weights: $(VENV)/.dev ## train network, trees and beginnings of intervals anew (tens of minutes)
	$(BIN)/python -m services.scoring.grow_boosting
	$(BIN)/slopewatch train --pool services/inference/musenet/weights --seeds 3
	$(BIN)/python -m services.scoring.fit_priors

skill: $(VENV)/.dev ## score every forecast model on the test pool, write docs/skill.md (tens of minutes)
	$(BIN)/python -m benchmarks forecast_skill

clean: ## end the engine, forget environment, demo and the engine's data
	@test ! -e .engine/pids.json || $(BIN)/python -m tools.engine down
	rm -rf $(VENV) .tools demo .engine

$(VENV)/.base: pyproject.toml constraints.txt tools/setup.sh
	@sh tools/setup.sh base
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt tools/setup.sh
	@sh tools/setup.sh dev
	@touch $@ $(VENV)/.base
