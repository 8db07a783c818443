"""deploy/kubernetes: every object against Kubernetes' own schemas, and against the objects it refers to.

No cluster is asked: what only one can show (a packet kept out by a policy, a claim that binds) is not here.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.unit.deploy.rendered import (
    KUBERNETES,
    NAMESPACE,
    STACKS,
    Object,
    containers,
    of_kind,
    pods,
    ports,
    render,
    selected,
)

VERSIONS = ("1.31", "1.37")
"""The oldest that knows every field used here, and the newest with schemas at hand."""


@pytest.fixture(scope="module", params=list(STACKS))
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return render(request.param)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_what_kubernetes_takes(version: str) -> None:
    # Most objects are the same in most stacks, and a look at one takes the library a moment.
    distinct = {json.dumps(found, sort_keys=True) for stack in STACKS for found in render(stack)}
    assert len(distinct) > len(render("base"))
    for found in distinct:
        kubernetes_validate.validate(json.loads(found), version, strict=True)


def test_a_slip_would_be_noticed() -> None:
    wrong = copy.deepcopy(of_kind(render("base"), "Deployment")["triton"])
    wrong["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_every_object_is_in_the_namespace_and_says_whose_it_is(objects: list[Object]) -> None:
    for found in objects:
        assert found["metadata"]["labels"]["app.kubernetes.io/part-of"] == "pixelprobe"
        assert found["kind"] == "Namespace" or found["metadata"]["namespace"] == NAMESPACE


def test_the_namespace_asks_for_restricted_pods(objects: list[Object]) -> None:
    (namespace,) = of_kind(objects, "Namespace").values()

    assert namespace["metadata"]["name"] == NAMESPACE
    assert {
        key.rpartition("/")[2]: value
        for key, value in namespace["metadata"]["labels"].items()
        if key.startswith("pod-security")
    } == {"enforce": "restricted", "enforce-version": "latest", "audit": "restricted", "warn": "restricted"}


def test_every_container_is_locked_down_and_bounded(objects: list[Object]) -> None:
    for name, pod in pods(objects).items():
        assert pod["spec"]["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod["spec"].keys(), name
        assert all("hostPath" not in volume for volume in pod["spec"]["volumes"]), name
        for container in containers(pod):
            what = f"{name}/{container['name']}"
            # A container's own word counts before its pod's.
            security = {**pod["spec"]["securityContext"], **container["securityContext"]}
            assert security["runAsNonRoot"] is True, what
            assert security["runAsUser"] > 0, what
            assert security["runAsGroup"] > 0, what
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}, what
            assert security["allowPrivilegeEscalation"] is False, what
            assert security["readOnlyRootFilesystem"] is True, what
            assert security["capabilities"] == {"drop": ["ALL"]}, what
            assert not security.get("privileged"), what
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), what
            assert "memory" in container["resources"]["limits"], what


def test_every_long_running_container_is_probed(objects: list[Object]) -> None:
    for name, pod in pods(objects).items():
        for container in pod["spec"]["containers"]:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                found = container[probe]
                ways = found.keys() & {"exec", "grpc", "httpGet", "tcpSocket"}
                assert len(ways) == 1, (name, probe)
                assert found["timeoutSeconds"] >= 3, (name, probe)
            # What is not ready because of another is not to be started again for it.
            assert container["livenessProbe"].keys() & {"httpGet", "tcpSocket"}, name


def test_selectors_and_ports_mean_what_is_there(objects: list[Object]) -> None:
    for name, found in of_kind(objects, "Deployment").items():
        assert selected(found["spec"]["selector"], objects) == {name}
    for kind in ("PodDisruptionBudget", "Service"):
        assert of_kind(objects, kind).keys() == pods(objects).keys()
    for name, found in of_kind(objects, "PodDisruptionBudget").items():
        assert selected(found["spec"]["selector"], objects) == {name}
    for name, found in of_kind(objects, "Service").items():
        assert selected({"matchLabels": found["spec"]["selector"]}, objects) == {name}
        there = ports(pods(objects)[name])
        for port in found["spec"]["ports"]:
            assert there[port["targetPort"]] == port["port"], name
    for pod in pods(objects).values():
        annotations = pod["metadata"]["annotations"]
        assert annotations["prometheus.io/port"] == str(ports(pod)["metrics"])


def test_the_autoscaler_scales_what_is_there(objects: list[Object]) -> None:
    (autoscaler,) = of_kind(objects, "HorizontalPodAutoscaler").values()
    reference = autoscaler["spec"]["scaleTargetRef"]
    deployment = of_kind(objects, "Deployment")[reference["name"]]

    assert (reference["apiVersion"], reference["kind"]) == (deployment["apiVersion"], deployment["kind"])
    assert "replicas" not in deployment["spec"], "each apply would undo what the autoscaler did"


def test_every_volume_is_there_and_used(objects: list[Object]) -> None:
    maps, claims = of_kind(objects, "ConfigMap"), of_kind(objects, "PersistentVolumeClaim")
    claimed = set()
    for name, pod in pods(objects).items():
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        mounted = {mount["name"] for each in containers(pod) for mount in each["volumeMounts"]}
        assert mounted == volumes.keys(), name
        for volume in volumes.values():
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps, name
            if "persistentVolumeClaim" in volume:
                claimed.add(volume["persistentVolumeClaim"]["claimName"])
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"], name
    assert claimed == claims.keys()


def test_every_file_that_a_setting_names_is_mounted(objects: list[Object]) -> None:
    named = 0
    for name, pod in pods(objects).items():
        for container in containers(pod):
            folders = [Path(mount["mountPath"]) for mount in container["volumeMounts"]]
            for setting in container.get("env", []):
                path = Path(setting["value"].removeprefix("sqlite:///"))
                if path.is_absolute():
                    named += 1
                    assert any(folder in path.parents for folder in folders), (name, setting)
    assert named >= 10


def test_secrets_are_named_and_none_is_here(objects: list[Object]) -> None:
    assert not of_kind(objects, "Secret")
    text = (KUBERNETES / "base" / "kustomization.yaml").read_text()
    text += (KUBERNETES / "components" / "postgres" / "kustomization.yaml").read_text()
    named = set()
    for pod in pods(objects).values():
        for each in containers(pod):
            assert all("valueFrom" not in setting for setting in each.get("env", [])), "files, not variables"
        for volume in pod["spec"]["volumes"]:
            named |= set(secret_names(volume))
    assert {"orchestrator-tls", "orchestrator-tokens", "segmentation-tls", "segmentation-tokens"} <= named
    for name in named:
        assert name in text, f"{name} is to be told to who sets this up"


def secret_names(volume: dict[str, Any]) -> list[str]:
    projected = [source["secret"]["name"] for source in volume.get("projected", {}).get("sources", [])]
    return projected + ([volume["secret"]["secretName"]] if "secret" in volume else [])


def test_every_policy_means_pods_and_ports_that_are_there(objects: list[Object]) -> None:
    for name, policy in of_kind(objects, "NetworkPolicy").items():
        spec = policy["spec"]
        meant = selected(spec["podSelector"], objects)
        assert meant, name
        for rule in spec.get("ingress", []):
            for pod in meant:
                assert {port["port"] for port in rule["ports"]} <= ports(pods(objects)[pod]).keys(), name
            assert all(peers(peer, objects) for peer in rule["from"]), name
        for rule in spec.get("egress", []):
            for peer in rule["to"]:
                for pod in peers(peer, objects) - {"elsewhere"}:
                    there = set(ports(pods(objects)[pod]).values())
                    assert {port["port"] for port in rule["ports"]} <= there, name


def peers(peer: Object, objects: list[Object]) -> set[str]:
    """Of a policy's rule: names of pods, or "elsewhere" for another namespace."""
    if "namespaceSelector" in peer:
        assert peer["namespaceSelector"].get("matchLabels"), "every namespace there is"
        return {"elsewhere"}
    return selected(peer["podSelector"], objects)


def ways(objects: list[Object], direction: str, side: str) -> set[tuple[str, str, Any]]:
    """What all policies together allow: (pod, peer, port)."""
    return {
        (pod, peer, port["port"])
        for policy in of_kind(objects, "NetworkPolicy").values()
        for pod in selected(policy["spec"]["podSelector"], objects)
        for rule in policy["spec"].get(direction, [])
        for each in rule[side]
        for peer in peers(each, objects)
        for port in rule["ports"]
    }


def test_nothing_comes_in_or_goes_out_but_what_the_stack_needs(objects: list[Object]) -> None:
    deny = of_kind(objects, "NetworkPolicy")["default-deny"]["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}

    assert ways(objects, "ingress", "from") == {
        ("triton", "orchestrator", "grpc"),
        ("triton", "segmentation", "grpc"),
        ("triton", "elsewhere", "metrics"),
        ("segmentation", "orchestrator", "grpc"),
        ("segmentation", "elsewhere", "grpc"),
        ("segmentation", "elsewhere", "metrics"),
        ("orchestrator", "elsewhere", "grpc"),
        ("orchestrator", "elsewhere", "metrics"),
    }
    store = {("orchestrator", "elsewhere", 5432)}
    assert ways(objects, "egress", "to") - store == {
        ("segmentation", "triton", 8001),
        ("segmentation", "elsewhere", 53),
        ("orchestrator", "segmentation", 50061),
        ("orchestrator", "triton", 8001),
        ("orchestrator", "elsewhere", 53),
    }
    on_postgres = not of_kind(objects, "PersistentVolumeClaim")
    assert (store <= ways(objects, "egress", "to")) is on_postgres
