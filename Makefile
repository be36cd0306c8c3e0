# `make run` on a fresh clone runs the whole pipeline; `make help` lists all targets. PORT=… sets a server's port.
SHELL := /bin/sh
# A relative path, so that the project's folder may have a space in its name, or be moved.
VENV := .venv
# How many test processes run in parallel: one more than two cores, because some tests wait. Each process takes whole
# files, in this order: files that take minutes come first, and the first files don't wait for the same training.
JOBS ?= 3
LONG_TESTS := $(addprefix tests/,pipeline/test_end_to_end.py pipeline/test_sweep.py unit/tracking/test_registry_machine.py \
	pipeline/test_mnist.py pipeline/test_rebuild.py pipeline/test_stages.py pipeline/test_train.py notebooks/test_tour.py \
	pipeline/test_lineage.py)
ALL_TESTS := --dist loadfile --no-loadscope-reorder $(LONG_TESTS) tests/pipeline tests/browser tests/serving tests/notebooks \
	tests/unit
# MLflow and DVC look for the programs that they start (uvicorn, python) on PATH.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export ORT_DISABLE_TELEMETRY := 1
export MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR := false
# A reason is a person's text: neither make nor the shell may take a $, a quote or a backquote in it for their own.
override REASON := $(value REASON)
export REASON
# Without compiled bytecode, importing TensorFlow takes ten seconds instead of five.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(IS_SUPPORTED)' 2>/dev/null && echo $$python && break; done)
READY := $(VENV)/ready
IS_SUPPORTED := import sys; sys.exit(not (3, 11, 4) <= sys.version_info < (3, 14))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run lint check test test-presets test-engines coverage docs tour compare report sweep ui serve app rollback \
	rebuild-tracking lineage verify bench bench-quick lock team promote repository usable

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  make %-16s %s\n' "$$name" "$$text"; done

run: repository $(READY) ## the whole pipeline: download, preprocess, train, evaluate, register
	@python -m pipeline.commands.offline
	@python -m pipeline.commands.ensure_history
	dvc repro
	@python -m pipeline.commands.ensure_registered

lint: $(READY) ## check format, lint rules and types
	ruff format --check .
	ruff check .
	mypy

check: lint ## format, lint, types and all unit tests except the slow ones: a minute; run it on every save
	python -m pytest -q -n 2 --dist worksteal -m 'not slow' tests/unit

test: lint ## everything: format, lint, types and the whole test suite
	python -m pytest -n $(JOBS) $(ALL_TESTS)

test-presets: $(READY) ## train every preset on MNIST and compare its accuracy with params.yaml: 10 minutes
	python -m pytest -m '' tests/pipeline/test_mnist.py

test-engines: $(READY) $(VENV)-engines/ready ## tests with PostgreSQL, MLflow's server, S3, Slurm, Ray, and checks of deploy/, as far as installed: 5 minutes
	PYTHONPATH="$(CURDIR)/$(VENV)-engines" python -m pytest tests/engines

coverage: $(READY) ## run the whole test suite, and report which lines and branches it ran
	coverage erase
	COVERAGE_FILE="$$PWD/.coverage" coverage run -m pytest -n $(JOBS) $(ALL_TESTS)
	coverage combine --quiet
	coverage report --skip-covered --precision=1

docs: $(READY) ## write docs/parameters.md from the schema of params.yaml
	python -m pipeline.commands.document_params

tour: $(READY) ## run the learner's tour, notebooks/tour.ipynb, and write docs/tour.md and its pictures: a minute
	@test -f data/prepared/dataset.json || dvc repro preprocess
	python -m notebooks.render

compare: $(READY) ## print the presets side by side, and which of them differ significantly from the champion
	@python -m pipeline.commands.compare

report: $(READY) ## write report/index.html, a page on all models, and report/report.md, the differences from HEAD (or BASE=main)
	@python -m pipeline.commands.report "$(BASE)"

sweep: $(READY) ## search the parameters of one model: section `sweep` in params.yaml
	@dvc repro --quiet preprocess
	python -m pipeline.sweep

ui: $(READY) ## start MLflow's UI on port 5000, to compare the runs, best first
	@exec python -m pipeline.commands.ui $(or $(PORT),5000)

serve: $(READY) ## serve the champion with MLflow's server, on port 5001
	@python -m pipeline.commands.port $(or $(PORT),5001)
	@champion=$$(python -m pipeline.commands.champion) && \
		exec mlflow models serve -m "$$champion" --env-manager local --port $(or $(PORT),5001)

app: $(READY) ## serve the champion with the project's own server, on port 8000: a page to draw on, images, metrics
	@python -m pipeline.commands.port $(or $(PORT),8000)
	@champion=$$(python -m pipeline.commands.champion) && exec python -m serving.app --port $(or $(PORT),8000) "$$champion"

rollback: $(READY) ## reject the champion and return to the previous one; REASON='…' is recorded
	@python -m pipeline.commands.rollback "$$REASON"

promote: $(READY) ## make VERSION=3 the champion, whatever the gate decided; REASON='…' is recorded
	@python -m pipeline.commands.promote "$(VERSION)" "$$REASON"

rebuild-tracking: $(READY) ## restore MLflow's runs, versions and aliases from DVC's outputs and cache
	@python -m pipeline.commands.rebuild

lineage: $(READY) ## show what the champion (or MODEL=models:/mnist/3) was made from, and whether all of it is as recorded
	@python -m pipeline.commands.lineage $(MODEL)

verify: $(READY) ## train the presets (or MODEL=cnn_fast) again in another folder, and compare the files with dvc.lock
	@test -f data/prepared/dataset.json || dvc repro preprocess
	@python -m pipeline.commands.verify $(MODEL)

bench: $(READY) ## measure the training and serving figures of docs/benchmarks.md: three hours on an idle machine
	@test -f data/prepared/dataset.json || dvc repro preprocess
	python -m benchmarks.training
	python -m benchmarks.serving
	python -m benchmarks.batch

bench-quick: $(READY) ## train the fast presets and their rivals in turn: 5 minutes on an idle machine
	@test -f data/prepared/dataset.json || dvc repro preprocess
	python -m benchmarks.training --quick

team: $(READY) ## install the packages for a team's tracking server and its lock: docs/team.md
	uv pip install --quiet --python $(VENV) --require-hashes --compile-bytecode -r requirements-team.lock

lock: $(READY) ## resolve pyproject.toml into requirements.lock, and the other dependency groups into requirements-….lock
	uv pip compile --quiet --universal --generate-hashes --upgrade --python-version 3.11 --no-header \
		--group dev pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header \
		--group serving --constraints requirements.lock -o requirements-serving.lock
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header \
		--group team --constraints requirements.lock -o requirements-team.lock
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header \
		--group ray --constraints requirements.lock -o requirements-ray.lock
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header \
		--group spark --constraints requirements.lock -o requirements-spark.lock
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header \
		--group team --group engines --group ray --constraints requirements.lock -o requirements-engines.lock

repository:
	@git rev-parse --git-dir >/dev/null || { echo "error: DVC works in a git repository, and this folder is none: run" \
		"git init && git add . && git commit -m 'Start', and make again; or git clone the project" >&2; exit 1; }

# Refuses a folder in which the tools can't work (PATH can't contain a colon, MLflow's migrations fail on a per cent
# sign). Also refuses a virtual environment that has an unsupported Python, whose Python is gone, or that was moved here
# from another folder.
usable:
	@case "$$PWD" in *[:%#?]*) echo "error: MLflow and PATH can't have : % # ? in a folder's name: rename $$PWD" >&2; exit 1;; esac
	@test ! -e $(VENV) || $(VENV)/bin/python -c '$(IS_SUPPORTED)' 2>/dev/null || { echo "error: $(VENV) has no Python" \
		"3.11.4 or later, 3.12 or 3.13 that runs: remove it with rm -rf $(VENV), and make again" >&2; exit 1; }
	@test ! -e $(VENV) || grep -qx 'relocatable = true' $(VENV)/pyvenv.cfg || grep -qF "$$(cd $(VENV) && pwd -P)" \
		$(VENV)/bin/activate || { echo "error: $(VENV) was made in another folder, and its commands" \
		"run what lies there: remove it with rm -rf $(VENV), and make again" >&2; exit 1; }

# Relocatable: the environment's commands find Python in their own folder, even after it was moved or copied.
$(READY): requirements.lock | usable
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11.4 or later, 3.12 or 3.13 on PATH; install one, or name it: make PYTHON=…" >&2; exit 1; }
	@"$(PYTHON)" -c '$(IS_SUPPORTED)' || { echo "error: PYTHON=$(PYTHON) is not Python 3.11.4 or later, 3.12 or 3.13" >&2; exit 1; }
	test -e $(VENV) || "$(PYTHON)" -m venv $(VENV)
	command -v uv >/dev/null || $(VENV)/bin/python -m pip install --quiet uv
	uv venv --quiet --relocatable --allow-existing --python $(VENV)/bin/python $(VENV)
	uv pip install --quiet --python $(VENV) --require-hashes --compile-bytecode -r requirements.lock
	@touch $@

# Installed next to the environment and not into it, so that the environment stays the same as on other machines.
$(VENV)-engines/ready: requirements-engines.lock | $(READY)
	uv pip install --quiet --python $(VENV) --require-hashes --target $(VENV)-engines -r requirements-engines.lock
	@touch $@
