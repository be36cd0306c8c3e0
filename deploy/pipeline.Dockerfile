# What the stages run in, for jobs on a cluster. Never built here, for want of a container engine.
# docker build -t digits-pipeline -f deploy/pipeline.Dockerfile .
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
# For DVC's remote: another kind than S3 has another package.
RUN pip install --no-cache-dir dvc-s3
USER 10001:10001
WORKDIR /work
