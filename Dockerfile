# docker build -t digits .
# docker run -p 127.0.0.1:8000:8000 -e MLFLOW_TRACKING_URI=http://registry:5000 digits [--allow-host NAME …]
# Or, with a model's folder instead of a registry: -v "$PWD/model:/model:ro" -e MODEL=/model
# The base image is named by its tag; docs/serving.md says how to name it by its digest.
FROM python:3.11-slim
WORKDIR /app
COPY requirements-serving.lock .
RUN pip install --no-cache-dir --require-hashes -r requirements-serving.lock
COPY serving serving
# A numeric user, so that Kubernetes can check runAsNonRoot. The user owns no files, and writes only to /tmp.
USER 10001:10001
ENV MODEL=models:/mnist@champion
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["sh", "-c", "exec python -m serving.app \"$MODEL\" --host 0.0.0.0 \"$@\"", "app"]
