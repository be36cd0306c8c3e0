#!/bin/sh
# The only collector: restores the models that the workers (deploy/train.sh) pushed, registers them, and lets the
# promotion gate decide. Afterwards, commit dvc.lock and promotions.jsonl.
# Usage: sh deploy/collect.sh, in a clone, with the project's environment on PATH.
set -eu
# In a new clone with its own MLflow store, first restore the earlier champions, because the gate compares with them.
if [ -e promotions.jsonl ] && [ ! -e mlflow.db ] && [ -z "${MLFLOW_TRACKING_URI:-}" ]; then
    dvc pull --run-cache --all-commits
    python -m pipeline.commands.ensure_history
fi
dvc repro --pull
python -m pipeline.commands.ensure_registered
dvc push --run-cache
