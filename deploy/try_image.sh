#!/bin/sh
# Builds the app's image and runs it as kubernetes/deployment.yaml does: no root, no rights, nothing to write to but /tmp.
# sh deploy/try_image.sh FOLDER, a model's folder (docs/serving.md). ENGINE, BUILD and RUN name another engine and options.
set -eu
engine=${ENGINE:-docker}
model=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
# Unquoted, because they are several words.
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
# The golden images: the same answers as where the model was registered.
ask /readyz
ask /invocations --header 'Content-Type: application/json' --data "@$model/serving_input_example.json"
test "$($engine exec "$container" id -u)" = 10001
case $engine in
podman*) $engine healthcheck run "$container" ;;
*) timeout 60 sh -c "until $engine inspect --format '{{.State.Health.Status}}' $container | grep -qx healthy; do sleep 1; done" ;;
esac
