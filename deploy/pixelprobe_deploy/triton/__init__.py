"""Serving models with Triton: builds the model repository and runs the server without Docker.

config.py         config.pbtxt, checked and written through Triton's own protobuf
contract.py       the input contract, read from an ONNX file
edits_graph.py    ONNX surgery: a classifier becomes one that takes sparse queries
repository.py     ONNX files -> model repository
gpu.py            instances, warm-up and TensorRT, where GPUs run the models
served.py         the models to serve: those that ship and those of zoo folders
targets_file.py   the same, as the orchestrator's targets.toml
backend_model.py  the model.py that runs ONNX Runtime inside Triton's Python backend
interpreter.py    whether a Python can run that backend
venv.py           the venv of Triton's processes, from requirements.lock
runtime.py        the server itself, from the PyPI wheel, and its command line
supervisor.py     the server's parent: failures that Triton does not report, restarts, log rotation
logs.py           the line of a log that names an error
"""
