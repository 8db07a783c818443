from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from pixelprobe_deploy.local import parts
from pixelprobe_deploy.local.errors import LocalStackError, PortTakenError
from pixelprobe_deploy.local.ports import KINDS, check_ports, choose_ports
from pixelprobe_deploy.local.stack import Wish

DEFAULTS = {
    "triton_http": 8000,
    "triton_grpc": 8001,
    "triton_metrics": 8002,
    "segmentation": 50061,
    "orchestrator": 50062,
}


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_taken_port_is_named_with_its_option(taken: int) -> None:
    with pytest.raises(PortTakenError, match=f"port {taken} .Triton gRPC.*--triton-grpc-port") as caught:
        check_ports({"triton_http": 0, "triton_grpc": taken})
    assert "\n" not in str(caught.value)


def test_a_listener_on_all_addresses_counts_too() -> None:
    with socket.create_server(("", 0)) as listener, pytest.raises(PortTakenError):
        check_ports({"segmentation": listener.getsockname()[1]})


def test_a_port_that_was_just_left_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as one:
            other, _ = listener.accept()
            other.close()  # closed first on this side: it lingers
            one.recv(1)

    check_ports({"triton_grpc": port})


def test_a_port_given_twice_is_refused() -> None:
    with pytest.raises(LocalStackError, match="port 9000 is given twice"):
        check_ports({"triton_http": 9000, "triton_grpc": 9000})


def test_chosen_ports_are_free_and_different_and_given_ones_stay() -> None:
    chosen = choose_ports({**dict.fromkeys(KINDS, 0), "segmentation": 4321})

    assert chosen["segmentation"] == 4321
    assert len(set(chosen.values())) == len(KINDS)
    check_ports({key: port for key, port in chosen.items() if key != "segmentation"})


def test_usual_ports_are_those_agreed() -> None:
    assert Wish().all_ports() == DEFAULTS


def test_free_ports_are_for_those_not_given() -> None:
    wish = Wish(names=("triton",), ports={"triton_grpc": 9001}, free_ports=True)

    assert wish.all_ports() == {"triton_http": 0, "triton_grpc": 9001, "triton_metrics": 0}


def test_addresses_follow_the_ports() -> None:
    assert parts.default_addresses("triton") == {
        "grpc": "127.0.0.1:8001",
        "http": "127.0.0.1:8000",
        "metrics": "127.0.0.1:8002",
    }
    assert parts.default_addresses("orchestrator") == {"grpc": "127.0.0.1:50062"}


def test_services_are_started_as_agreed() -> None:
    orchestrator = parts.orchestrator(DEFAULTS, ["/home/targets.toml"])
    assert orchestrator.command[1:] == [
        "-m",
        "pixelprobe_services.orchestrator",
        "--listen",
        "127.0.0.1:50062",
        "--targets=/home/targets.toml",
        "--segmentation",
        "127.0.0.1:50061",
    ]
    segmentation = parts.segmentation(DEFAULTS)
    assert segmentation.command[1:] == [
        "-m",
        "pixelprobe_services.segmentation",
        "--listen",
        "127.0.0.1:50061",
    ]
