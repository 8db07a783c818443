"""Programs that the tests run inside containers; each prints what it found."""

from __future__ import annotations

SCORED = """
import re, urllib.request
text = urllib.request.urlopen("http://127.0.0.1:8002/metrics", timeout=10).read().decode()
print(sum(float(count) for count in re.findall(r"^pixelprobe_queries_total{.*} (\\S+)$", text, re.MULTILINE)))
"""

SERVED = """
import json, os
print(json.dumps(os.listdir("/srv/triton/models")))
"""

PROCESS = """
import json, os, re
status = dict(re.findall(r"^(\\w+):\\t(.*)$", open("/proc/1/status").read(), re.MULTILINE))
status["unwritable"] = []
for folder in ("/", "/etc", "/opt", os.getcwd()):
    try:
        open(os.path.join(folder, "new"), "w")
    except OSError as error:
        status["unwritable"].append(folder)
print(json.dumps(status))
"""

CONTENTS = """
import json, os
from importlib.util import find_spec
packages = ("torch", "onnxruntime", "onnx", "cv2", "scipy", "sqlalchemy", "pip", "deploy", "client")
tops = ("/app", "/opt", "/srv", "/usr", "/var")
files = [os.path.join(folder, name) for top in tops for folder, _, names in os.walk(top) for name in names]
print(json.dumps({
    "packages": [package for package in packages if find_spec(package)],
    # Python's path files end in .pth as well, and have a line or two.
    "weights": [
        file for file in files
        if file.endswith((".onnx", ".pt")) or file.endswith(".pth") and os.path.getsize(file) > 10_000
    ],
    "programs": sorted(os.listdir("/usr/bin")) if os.path.isdir("/bin") or os.path.isdir("/usr/bin") else [],
}))
"""

CLOSED_APIS = """
import http.client, json
answers = {}
for method, path in (
    ("GET", "/v2/health/ready"),
    ("GET", "/v2/models/vgg16_cifar10"),
    ("GET", "/v2/models/vgg16_cifar10/config"),
    ("GET", "/v2/models/stats"),
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/vgg16_cifar10/unload"),
    ("GET", "/v2/systemsharedmemory/status"),
    ("GET", "/v2/trace/setting"),
    ("GET", "/v2/logging"),
):
    connection = http.client.HTTPConnection("triton", 8000, timeout=10)
    connection.request(method, path, "{}" if method == "POST" else None)
    answers[path] = connection.getresponse().status
print(json.dumps(answers))
"""

CLOSED_RPCS = """
import grpc, json
from tritonclient.grpc import service_pb2 as pb, service_pb2_grpc
stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel("triton:8001"))
details = {}
for name, request in (
    ("RepositoryIndex", pb.RepositoryIndexRequest()),
    ("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="vgg16_cifar10")),
    ("ModelStatistics", pb.ModelStatisticsRequest()),
    ("SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest()),
    ("TraceSetting", pb.TraceSettingRequest()),
    ("LogSettings", pb.LogSettingsRequest()),
):
    try:
        getattr(stub, name)(request, timeout=10)
        details[name] = "answered"
    except grpc.RpcError as error:
        details[name] = error.details()
print(json.dumps(details))
"""

KILL_A_STUB = """
import os, signal
for entry in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = open(f"/proc/{entry}/cmdline").read().split("\\0")
    except OSError:
        continue
    if words[0].endswith("triton_python_backend_stub") and any("/MODEL/" in word for word in words):
        os.kill(int(entry), signal.SIGNAL)
        print(entry)
"""
"""MODEL and SIGNAL are to be replaced."""

FILL = """
import os
with open("FOLDER/filler", "wb", buffering=0) as filler:
    try:
        while True:
            filler.write(bytes(65536))
    except OSError as error:
        print(error.errno)
"""
"""FOLDER is to be replaced. Prints 28: no space left on device."""

FREE = """
import os
os.remove("FOLDER/filler")
"""

ASK_PROMETHEUS = """
import urllib.request
print(urllib.request.urlopen("http://prometheus:9090/api/v1/PATH", timeout=10).read().decode())
"""
"""PATH is to be replaced."""

ENVIRONMENTS = """
import os
for entry in filter(str.isdigit, os.listdir("/proc")):
    for what in ("cmdline", "environ"):
        try:
            print(open(f"/proc/{entry}/{what}").read().replace("\\0", " "))
        except OSError:
            pass
"""
