# `make` lists the targets. Each one sets up .venv from the lock file by itself, and again when that changes.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench bench-backfill kills plans twin fuzz fuzz-wire soak mutants chaos docs package sbom format lock clean fuzz-coverage bystanders regress

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

demo: $(STAMP) ## the whole story on an embedded PostgreSQL with live traffic (under two minutes)
	@$(BIN)/pgjanus demo

test: $(STAMP) ## every test, on real PostgreSQL servers that it starts by itself
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadgroup

lint: $(STAMP) ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy docs/generate.py docs/site_pages.py
	$(BIN)/lint-imports

bench: $(STAMP) ## what the proxy costs beside PgBouncer (25 minutes; ROUNDS=… SECONDS=… PARTS=… INTO=build), and COPY of a million rows
	@$(BIN)/python -m tests.bench --rounds $(or $(ROUNDS),5) --seconds $(or $(SECONDS),3) --into $(or $(INTO),build) \
		$(if $(PARTS),--parts $(PARTS))
	@$(BIN)/python -m tests.bench_copy

bench-backfill: $(STAMP) ## memory and rate of the backfill on ten million rows (ROWS=…; ten minutes, 10 GB)
	@$(BIN)/python -m tests.bench_backfill --rows $(or $(ROWS),10000000)

kills: $(STAMP) ## kill -9 of worker, proxy or PostgreSQL at 200 random moments of a backfill (KILLS=… SEED=…; ten minutes)
	@$(BIN)/python -m tests.kills --kills $(or $(KILLS),200) $(if $(SEED),--seed $(SEED))

twin: $(STAMP) ## every case of tests/cases through a proxy, in every protocol and phase, against unmigrated twins (half an hour)
	@$(BIN)/python -m tests.protocols

plans: $(STAMP) ## query plans in every phase against unmigrated twins, on a million rows (ROWS=…; some 20 minutes)
	@$(BIN)/python -m tests.plans --rows $(or $(ROWS),1000000)

fuzz: $(STAMP) ## random SQL against unmigrated twins, in every phase (half an hour; SEED=… STATEMENTS=…)
	@$(BIN)/python -m tests.fuzz --statements $(or $(STATEMENTS),100000) $(if $(SEED),--seed $(SEED))

fuzz-wire: $(STAMP) ## what strangers may send: a million seeded inputs (ten minutes; INPUTS=… SEED=…)
	@$(BIN)/python -m tests.strangers --inputs $(or $(INPUTS),1000000) $(if $(SEED),--seed $(SEED))

fuzz-coverage: $(STAMP) ## the same, by a fuzzer that looks for new branches (needs atheris; SECONDS=… for each of eight)
	@for name in $$($(BIN)/python -m tests.strangers --list); do \
		$(BIN)/python -m tests.strangers.guided --only $$name --seconds $(or $(SECONDS),300) || exit 1; done

regress: $(STAMP) ## PostgreSQL's regression suite directly and through the proxy (needs its sources: SOURCES=…; ten minutes)
	@$(BIN)/python -m tests.regress $(if $(SOURCES),--sources $(SOURCES))

bystanders: $(STAMP) ## dead lines, dead processes and clients that do not read beside CLIENTS=500 that work (two minutes)
	@$(BIN)/python -m tests.bystanders --clients $(or $(CLIENTS),500)

soak: $(STAMP) ## whole ladders under load: locks on ROWS=5000000, every recipe, the way back (an hour and a half)
	@$(BIN)/python -m tests.soak back
	@$(BIN)/python -m tests.soak recipes
	@$(BIN)/python -m tests.soak locks --rows $(or $(ROWS),5000000)

mutants: $(STAMP) ## take the treatments of docs/traps.md out, one at a time: each has to be found out (ten minutes)
	@$(BIN)/python -m tests.mutants

chaos: $(STAMP) ## random histories with three proxies, and things that die (an hour; SEED=… HISTORIES=… ARENAS=… BUG=…)
	@$(BIN)/python -m tests.chaos --histories $(or $(HISTORIES),500) --arenas $(or $(ARENAS),2) $(if $(SEED),--seed $(SEED)) $(if $(BUG),--bug $(BUG))

docs: $(STAMP) ## write the documents that follow from the code, and the site in build/site
	@PYTHONPATH=. $(BIN)/python docs/generate.py
	@PYTHONPATH=. NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet -f deploy/mkdocs.yml

package: $(STAMP) ## a wheel and a source archive in dist/
	$(BIN)/python -m build --no-isolation

sbom: $(STAMP) ## what is in an installation: dist/pgjanus.cdx.json, CycloneDX, from the lock file
	@mkdir -p dist
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --of JSON -o dist/pgjanus.cdx.json requirements.lock

format: $(STAMP) ## put the code into its usual form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(STAMP) ## pin the dependencies of pyproject.toml again, at their newest versions
	$(BIN)/pip-compile $(LOCK_FLAGS) --output-file requirements.lock
	$(BIN)/pip-compile $(LOCK_FLAGS) --extra demo --extra dev --allow-unsafe --output-file requirements-dev.lock

# Nothing of the machine that made a lock file may stay in it: no index address, no local folder.
LOCK_FLAGS := --quiet --upgrade --strip-extras --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-emit-options --no-emit-trusted-host pyproject.toml

clean: ## remove .venv and the tools' caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info build dist

$(STAMP): requirements-dev.lock pyproject.toml
	@python=; for candidate in $(PYTHON) python3.14 python3.13 python3.12 python3.11; do \
		if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then echo "pgjanus needs Python 3.11 or later: make PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
	$$python -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements-dev.lock
	PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
