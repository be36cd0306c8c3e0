# The image in which the stages run, for jobs on a cluster.
# docker build -t digits-pipeline -f deploy/pipeline.Dockerfile .
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*
COPY requirements.lock .
# Installed with uv, as make does.
RUN pip install --no-cache-dir uv && \
    uv pip install --no-cache --system --compile-bytecode --require-hashes -r requirements.lock
# dvc-s3 is for DVC's remote (a remote that is not S3 needs another package), psycopg is for REGISTRY_LOCK.
RUN uv pip install --no-cache --system --compile-bytecode --constraints requirements.lock dvc-s3 "psycopg[binary]"
USER 10001:10001
WORKDIR /work
