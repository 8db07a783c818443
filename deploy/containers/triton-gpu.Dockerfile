# Triton for GPUs: NVIDIA's image, started like the one for CPUs.
#   docker build -f deploy/containers/triton-gpu.Dockerfile .
# Pin the base with --build-arg TRITON_IMAGE=NAME:TAG@sha256:...
ARG TRITON_IMAGE=nvcr.io/nvidia/tritonserver:25.08-py3

FROM ${TRITON_IMAGE}
WORKDIR /opt/pixelprobe
COPY deploy/pixelprobe_deploy/__init__.py pixelprobe_deploy/
COPY deploy/pixelprobe_deploy/triton/__init__.py deploy/pixelprobe_deploy/triton/interpreter.py \
    deploy/pixelprobe_deploy/triton/runtime.py deploy/pixelprobe_deploy/triton/supervisor.py pixelprobe_deploy/triton/
COPY deploy/containers/serve_triton.py deploy/containers/triton_ready.py ./
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A volume takes over the owner of the folder that it is mounted on.
RUN install --directory --owner=1000 --group=1000 /var/cache/tensorrt
# The image's own user for the server.
USER 1000:1000
EXPOSE 8000 8001 8002
# NVIDIA's entry point finds the CUDA libraries that fit the driver, then hands over to the command.
ENTRYPOINT ["/opt/nvidia/nvidia_entrypoint.sh", "python3", "serve_triton.py"]
