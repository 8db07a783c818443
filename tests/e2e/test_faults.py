"""The stack while it is being broken: campaigns end as an undisturbed one does, and nothing hangs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from pixelprobe.model import CampaignState
from tests.e2e.campaigns import ATTACKS, Run, Scored, check_undisturbed, queries, results
from tests.e2e.inside import FILL, FREE, KILL_A_STUB
from tests.e2e.stack import IMAGES, UP_SECONDS, ComposeStack

PAUSE_SECONDS = 15.0
CUT_SECONDS = 8.0
STOP_SECONDS = 90.0
HELPER_SECONDS = 7200
SMALL_STORE = Path(__file__).with_name("small-store.yaml")
NO_SPACE = "28"

Fault = Callable[[ComposeStack, docker.DockerClient, Any], None]


@dataclass(frozen=True)
class Reference:
    """What an undisturbed campaign comes to. ``rows`` as exported; ``queries`` by the ledger."""

    rows: list[dict[str, Any]]
    queries: int
    seconds: float


@pytest.fixture(scope="module")
def reference(stack: ComposeStack, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("reference")
    scored = Scored(stack)
    run = Run.start(stack, "undisturbed", folder)
    rows = run.rows(folder)
    scored.look()
    check_undisturbed(rows)
    assert scored.total == queries(rows)
    print(f"undisturbed: {run.seconds:.0f} s, {queries(rows)} queries")
    return Reference(results(rows), queries(rows), run.seconds)


@pytest.fixture(scope="module")
def host_processes(stack: ComposeStack, engine: docker.DockerClient) -> Iterator[Any]:
    """A container that sees all processes of the engine's machine, which need not be this one."""
    container = engine.containers.run(
        IMAGES[0],
        entrypoint=["python", "-c", f"import time; time.sleep({HELPER_SECONDS})"],
        user="0:0",
        pid_mode="host",
        network_mode="none",
        detach=True,
    )
    yield container
    container.remove(force=True)


def crash(service: str) -> Fault:
    """kill -9 of the container's first process, as if the kernel did: the engine restarts the container.

    The engine's own kill would tell it that the container is wanted dead.
    """

    def fault(stack: ComposeStack, engine: docker.DockerClient, host_processes: Any) -> None:
        pid = stack.container(service).attrs["State"]["Pid"]
        assert host_processes.exec_run(["python", "-c", f"import os; os.kill({pid}, 9)"]).exit_code == 0

    return fault


def signal_stub(signal: str) -> Fault:
    """To the process of one model."""
    program = KILL_A_STUB.replace("MODEL", "nin_cifar10_edits").replace("SIGNAL", signal)

    def fault(stack: ComposeStack, engine: docker.DockerClient, host_processes: Any) -> None:
        assert stack.python("triton", program).strip().isdigit()

    return fault


def pause_triton(stack: ComposeStack, engine: docker.DockerClient, host_processes: Any) -> None:
    container = stack.container("triton")
    container.pause()
    time.sleep(PAUSE_SECONDS)
    container.unpause()


def cut_the_network(stack: ComposeStack, engine: docker.DockerClient, host_processes: Any) -> None:
    """The orchestrator loses targets and masks; what is under way gets no answer, not even a refusal."""
    network = engine.networks.get(f"{stack.project}_backend")
    container = stack.container("orchestrator")
    network.disconnect(container)
    time.sleep(CUT_SECONDS)
    network.connect(container)


def restart_everything(stack: ComposeStack, engine: docker.DockerClient, host_processes: Any) -> None:
    stack("restart", seconds=STOP_SECONDS)


def down_and_up(stack: ComposeStack, engine: docker.DockerClient, host_processes: Any) -> None:
    stack("down", seconds=STOP_SECONDS)
    stack("up", "--detach", "--wait", "--wait-timeout", str(UP_SECONDS), seconds=UP_SECONDS + 30)


FAULTS: dict[str, Fault] = {
    "orchestrator-killed": crash("orchestrator"),
    "segmentation-killed": crash("segmentation"),
    "triton-killed": crash("triton"),
    "stub-killed": signal_stub("SIGKILL"),
    "stub-stopped": signal_stub("SIGSTOP"),
    "triton-paused": pause_triton,
    "network-cut": cut_the_network,
    "everything-restarted": restart_everything,
    "down-and-up": down_and_up,
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_disturbed_campaign_ends_as_an_undisturbed_one(
    stack: ComposeStack,
    engine: docker.DockerClient,
    host_processes: Any,
    reference: Reference,
    kind: str,
    tmp_path: Path,
) -> None:
    stack.wait_until_healthy()
    scored = Scored(stack)
    run = Run.start(stack, kind, tmp_path)
    run.until_midway(reference.queries)
    scored.look()

    began = time.monotonic()
    FAULTS[kind](stack, engine, host_processes)
    struck = time.monotonic() - began
    finished = run.until(lambda campaign: True).attacks_finished
    assert finished < ATTACKS, "the fault came too late to disturb anything"
    run.until(lambda campaign: campaign.attacks_finished > finished)
    onwards = time.monotonic() - began - struck

    rows = run.rows(tmp_path)
    stack.wait_until_healthy()
    healthy = time.monotonic() - began
    scored.look()
    sent = queries(rows)
    print(
        f"{kind}: lasted {struck:.0f} s, next result {onwards:.0f} s later, campaign {run.seconds:.0f} s "
        f"({reference.seconds:.0f} undisturbed), healthy by {healthy:.0f} s, queries {sent} "
        f"({reference.queries}), Triton's count {scored.total}"
    )
    assert results(rows) == reference.rows
    assert sent >= reference.queries
    assert sent >= scored.total > 0


def test_a_full_volume_pauses_a_campaign_until_there_is_room(
    stack: ComposeStack, engine: docker.DockerClient, reference: Reference, tmp_path: Path
) -> None:
    stack.wait_until_healthy()
    stack.overlays = (SMALL_STORE,)
    try:
        stack("up", "--detach", "--no-deps", "orchestrator")
        stack.wait_until_healthy()
        folder = "/var/lib/small"
        scored = Scored(stack)
        run = Run.start(stack, "volume-full", tmp_path)
        run.until_midway(reference.queries)

        assert stack.python("orchestrator", FILL.replace("FOLDER", folder)).strip() == NO_SPACE
        waiting = run.until(lambda campaign: campaign.state is CampaignState.WAITING)
        assert "full" in waiting.state_reason
        unready = time.monotonic() + 60
        while stack.health("orchestrator") == "healthy":
            assert time.monotonic() < unready, "full, and called healthy"
            time.sleep(1)
        stack.python("orchestrator", FREE.replace("FOLDER", folder))

        rows = run.rows(tmp_path)
        stack.wait_until_healthy()
        scored.look()
        print(f"volume-full: campaign {run.seconds:.0f} s")
        assert results(rows) == reference.rows
        assert queries(rows) >= scored.total > 0
    finally:
        stack.overlays = ()
        stack("up", "--detach", "--no-deps", "orchestrator")
        stack.wait_until_healthy()
        engine.volumes.get(f"{stack.project}_small").remove()  # unknown to the stack without the overlay
