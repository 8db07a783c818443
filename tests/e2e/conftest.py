"""One stack for all tests here; building the images may take a while the first time."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest
from docker.errors import DockerException

from tests.e2e.stack import BUILD_SECONDS, ENGINE_SECONDS, UP_SECONDS, ComposeStack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests time for the start of the stack."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(BUILD_SECONDS + 2 * UP_SECONDS))


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The Docker engine that the environment names."""
    try:
        client = docker.from_env(timeout=ENGINE_SECONDS)
        client.ping()
    except DockerException as error:
        pytest.fail(f"no Docker engine answers: {error}", pytrace=False)
    yield client
    client.close()


@pytest.fixture(scope="session")
def stack(engine: docker.DockerClient) -> Iterator[ComposeStack]:
    """The whole stack, built and healthy; nothing of it is left afterwards."""
    stack = ComposeStack(engine)
    try:
        try:
            stack.start()
        except AssertionError as error:
            pytest.fail(f"the stack did not start: {error}\n{stack.logs()}", pytrace=False)
        yield stack
    finally:
        stack.remove()
