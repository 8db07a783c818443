# Triton for CPUs: the server of the PyPI wheel and its Python backend, in a venv on the Python image.
#   docker build -f deploy/containers/triton.Dockerfile .
# Pin the base with --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
COPY deploy/pixelprobe_deploy/triton/requirements.lock /build/
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv --without-pip /opt/triton \
    && python3 -m pip --python /opt/triton/bin/python --disable-pip-version-check --no-input install \
        --only-binary=:all: --no-deps --require-hashes --requirement /build/requirements.lock
COPY deploy/pixelprobe_deploy/__init__.py /build/pixelprobe_deploy/
COPY deploy/pixelprobe_deploy/triton/__init__.py deploy/pixelprobe_deploy/triton/interpreter.py \
    deploy/pixelprobe_deploy/triton/runtime.py deploy/pixelprobe_deploy/triton/supervisor.py /build/pixelprobe_deploy/triton/
COPY deploy/containers/serve_triton.py /build/
RUN python3 /build/serve_triton.py --prepare

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/triton /opt/triton
COPY --from=build /opt/backends /opt/backends
WORKDIR /opt/pixelprobe
COPY --from=build /build/pixelprobe_deploy pixelprobe_deploy
COPY deploy/containers/serve_triton.py deploy/containers/triton_ready.py ./
ENV PATH=/opt/triton/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8000 8001 8002
ENTRYPOINT ["python3", "serve_triton.py"]
