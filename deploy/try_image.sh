#!/bin/sh
# Builds the app's image and runs it as kubernetes/deployment.yaml does: not as root, without capabilities, and able to
# write only to /tmp. Usage: sh deploy/try_image.sh FOLDER, where FOLDER holds a model (docs/serving.md). ENGINE names
# another container engine than docker; BUILD and RUN are options for its build and run commands.
set -eu
engine=${ENGINE:-docker}
model=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
# These variables are not quoted, because they may hold several words.
$engine build ${BUILD:-} --tag digits .
container=$($engine run --detach ${RUN:-} --publish 127.0.0.1:8000:8000 --read-only --tmpfs /tmp --cap-drop ALL \
    --security-opt no-new-privileges --memory 1g --env HOME=/tmp --env MODEL=/model --volume "$model:/model:ro" digits)
trap '$engine logs "$container"; $engine rm --force "$container" >/dev/null' EXIT

ask() {
    route=$1
    shift
    curl --fail --silent --show-error --retry 30 --retry-delay 1 --retry-all-errors "http://127.0.0.1:8000$route" "$@"
    echo
}

ask /healthz
# /readyz checks the golden images: the model must give the same answers as when it was registered.
ask /readyz
ask /invocations --header 'Content-Type: application/json' --data "@$model/serving_input_example.json"
test "$($engine exec "$container" id -u)" = 10001
case $engine in
podman*) $engine healthcheck run "$container" ;;
*) timeout 60 sh -c "until $engine inspect --format '{{.State.Health.Status}}' $container | grep -qx healthy; do sleep 1; done" ;;
esac
