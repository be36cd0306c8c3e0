#!/bin/sh
# One worker of many: trains one of `presets` and pushes what it made to DVC's remote; what is there already is restored. It
# commits nothing: deploy/collect.sh brings together what the workers pushed.
# sh deploy/train.sh NUMBER, where 0 is the first preset, in a clone of its own; the project's environment is on PATH.
set -eu
preset=$(python -c "from pipeline.config.params import load; print(load().presets[$1])")
dvc repro --pull "evaluate@$preset"
dvc push --run-cache --with-deps "evaluate@$preset"
