# Everything here needs python3 (3.11 or newer) and make; `setup` fetches the rest into .venv.

PYTHON ?= python3
UV_VERSION := 0.13.9
READY := .venv/.ready
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup run demo test test-postgresql check ci bench-api bench-search bench-pipeline bench-recognition bench-people bench-import bench-inference bench-operations bench-sweeps soak chaos guards clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Install everything into .venv, as uv.lock says

$(READY): uv.lock pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Python 3.11 or newer is needed, but "$(PYTHON)" is not: make PYTHON=python3.12 setup' >&2; exit 1; }
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON_DOWNLOADS=never $(BIN)/uv sync --frozen --all-extras
	touch $@

run: $(READY) ## Start the store: web, workers and schedule in one process
	$(BIN)/python manage.py serve

# In a folder of its own, made anew each time, whatever this installation is configured to use.
# make hands PHOTOS on to the shell as a variable: a folder's name may hold spaces and quotes.
demo: export ENV_FILE :=
demo: export CL_SERVER_DIR := $(CURDIR)/demo-data
demo: $(READY) ## Try it on sample photos, or on yours: make demo PHOTOS=~/Pictures
	rm -rf demo-data
	$(BIN)/python manage.py demo $${PHOTOS:+"$$PHOTOS"}

test: $(READY) ## Run the tests
	$(BIN)/pytest -n auto

# In a database of its own, on the server that PGHOST, PGPORT and PGUSER name: by default the one on this machine.
test-postgresql: $(READY) ## Run the tests that use the database once more, on PostgreSQL
	$(BIN)/python tests/on_postgresql.py

# The checks load the settings: not this installation's, and with a folder of their own.
check: export ENV_FILE :=
check: export CL_SERVER_DIR := $(CURDIR)/.venv/check
check: $(READY) ## Lint, format, types, borders between packages, migrations, system checks
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py check

ci: test test-postgresql check ## What a pull request has to pass

bench-api: $(READY) ## Measure the API beside a bare DRF project: a few minutes, 6 GB of disk
	$(BIN)/python benchmarks/store_api.py

bench-search: $(READY) ## Measure searches over 100,000 vectors beside comparing with each: some minutes
	$(BIN)/python benchmarks/search.py

bench-pipeline: $(READY) ## Measure what an image costs between upload and results: a few minutes
	$(BIN)/python benchmarks/pipeline.py

bench-import: $(READY) ## Import 2,000 images and watch whether all get done; IMPORT="--images 50000" takes 40 minutes
	$(BIN)/python benchmarks/importing.py $(IMPORT)

bench-inference: $(READY) ## Measure what looking at an image costs beyond the models themselves: two minutes
	$(BIN)/python benchmarks/inference.py

bench-operations: $(READY) ## Measure audit, metrics and removals among 1,000,000 entities: ten minutes, 5 GB of disk
	$(BIN)/python benchmarks/operations_at_scale.py $(OPERATIONS)

bench-sweeps: $(READY) ## Measure what recurs among 1,000,000 entities: some minutes, 5 GB of disk
	$(BIN)/python benchmarks/sweeps_at_scale.py $(SWEEPS)

soak: $(READY) ## Ten minutes of everyday load: memory flat, no error (SOAK="--minutes 5")
	$(BIN)/python -m benchmarks.soak $(SOAK)

bench-recognition: $(READY) ## Measure how well and how fast faces are sorted into people: some minutes
	$(BIN)/python benchmarks/recognition.py

bench-people: $(READY) ## Measure the pages of 5,000 people with 100,000 faces: a few minutes
	$(BIN)/python benchmarks/people_pages.py

chaos: $(READY) ## Kill workers, lose and double messages, then look whether all is right (CHAOS="--minutes 10")
	$(BIN)/python -m tests.chaos $(CHAOS)

guards: $(READY) ## Break each guard in a copy and see its test fail
	$(BIN)/python -m tests.guards

clean: ## Remove .venv and the caches; the data stays
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
