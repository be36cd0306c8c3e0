#!/bin/sh
# For machines that can't reach an image registry: builds a stand-in for python:3.11-slim from Debian 12 (with mmdebstrap)
# and the Python 3.11 on PATH, which must have been built on Debian 12.
# Usage, as root: sh deploy/stand_in_base.sh. ENGINE and BUILD have the same meaning as in try_image.sh.
set -eu
prefix=$(python3.11 -c 'import sys; print(sys.base_prefix)')
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
# --include lists the libraries that Python's modules load. Python finds its prefix from its own location.
mmdebstrap --quiet --variant=minbase \
    --include=ca-certificates,libbz2-1.0,libexpat1,libffi8,liblzma5,libncursesw6,libreadline8,libsqlite3-0,libssl3,libuuid1,zlib1g \
    --customize-hook="tar c -C '$prefix' --exclude=site-packages --exclude=__pycache__ --exclude=test bin/python3.11 lib |
        tar x -C \"\$1/usr/local\"" \
    --customize-hook='mkdir -p "$1/usr/local/lib/python3.11/site-packages" && ln -s python3.11 "$1/usr/local/bin/python" &&
        chroot "$1" ldconfig && chroot "$1" python -m ensurepip && ln -s pip3.11 "$1/usr/local/bin/pip"' \
    bookworm "$folder/base.tar"
printf 'FROM scratch\nADD base.tar /\nENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n' > "$folder/Dockerfile"
${ENGINE:-docker} build ${BUILD:-} --tag docker.io/library/python:3.11-slim "$folder"
