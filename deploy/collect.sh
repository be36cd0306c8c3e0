#!/bin/sh
# The one collector: restores what the workers of deploy/train.sh pushed, registers it, and lets the gate decide. Then commit
# dvc.lock and promotions.jsonl. sh deploy/collect.sh, in a clone; the project's environment is on PATH.
set -eu
# In a new clone with a store of its own: the former champions, which the gate compares with.
if [ -e promotions.jsonl ] && [ ! -e mlflow.db ] && [ -z "${MLFLOW_TRACKING_URI:-}" ]; then
    dvc pull --run-cache --all-commits
    python -m pipeline.commands.ensure_history
fi
dvc repro --pull
python -m pipeline.commands.ensure_registered
dvc push --run-cache
