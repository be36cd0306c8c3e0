# What the stages run in, for jobs on a cluster.
# docker build -t digits-pipeline -f deploy/pipeline.Dockerfile .
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*
COPY requirements.lock .
# By uv, as make does: pip refuses a package of the lock that says it is for older Pythons.
RUN pip install --no-cache-dir uv && \
    uv pip install --no-cache --system --compile-bytecode --require-hashes -r requirements.lock
# For DVC's remote (another kind than S3 has another package), and for REGISTRY_LOCK.
RUN uv pip install --no-cache --system --compile-bytecode --constraints requirements.lock dvc-s3 "psycopg[binary]"
USER 10001:10001
WORKDIR /work
