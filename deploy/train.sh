#!/bin/sh
# One of many workers: trains one of `presets` and pushes the result to DVC's remote; a result that is already there is
# restored instead. It commits nothing: deploy/collect.sh brings the workers' results together.
# Usage: sh deploy/train.sh NUMBER, where 0 is the first preset, in its own clone, with the project's environment on PATH.
set -eu
preset=$(python -c "from pipeline.config.params import load; print(load().presets[$1])")
dvc repro --pull "evaluate@$preset"
dvc push --run-cache --with-deps "evaluate@$preset"
