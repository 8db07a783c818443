"""Protocols of other packages: entry points of the group ``pixelprobe.targets``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelprobe_services.orchestrator.targets.base import TargetError
from pixelprobe_services.orchestrator.targets.registry import RegistryError, load_targets, open_target
from tests.unit.targets.batches import random_batch

PLUGIN = '''
import numpy as np
from pixelprobe_services.orchestrator.targets.base import Scores, Target, TargetInfo, TargetStats


class Brightness(Target):
    """The brighter the first pixel, the likelier class 1."""

    def __init__(self, config):
        self.name = config.name
        self.stats = TargetStats()
        self._info = TargetInfo(
            name=config.name, width=4, height=4, classes=2, labels=config.labels, sparse_queries=True,
            max_batch=config.max_batch, max_in_flight=config.max_in_flight,
        )
        self._shift = config.options["shift"]

    async def describe(self):
        return self._info

    async def check(self):
        return self._info

    async def query(self, batch):
        bright = (batch.images[batch.image_index, 0, 0].mean(axis=1) + self._shift) / 512
        rows = np.stack([1 - bright, bright], axis=1).astype(np.float32)
        order = np.argsort(-rows, axis=1, kind="stable").astype(np.int32)
        return Scores(
            np.take_along_axis(rows, batch.classes, axis=1), order, np.take_along_axis(rows, order, axis=1)
        )

    async def close(self):
        pass


def broken(config):
    raise RuntimeError("no licence")


def other(config):
    return 3
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path that holds an installed package with three protocols."""
    (tmp_path / "bright_plugin.py").write_text(PLUGIN)
    information = tmp_path / "bright_plugin-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: bright-plugin\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[pixelprobe.targets]\nbrightness = bright_plugin:Brightness\nbroken = bright_plugin:broken\n"
        "other = bright_plugin:other\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


async def test_a_plugin_is_a_protocol_like_others(installed: Path) -> None:
    file = installed / "targets.toml"
    file.write_text(
        '[targets.toy]\nprotocol = "brightness"\nlabels = ["dark", "bright"]\noptions = {shift = 100}\n'
    )
    target = open_target(load_targets(file)["toy"])
    assert (await target.describe()).labels == ("dark", "bright")
    batch = random_batch(3, classes=2)
    scores = await target.query(batch)
    np.testing.assert_array_less(0, scores.class_probabilities)
    await target.close()


@pytest.mark.parametrize(
    ("protocol", "complaint"),
    [("broken", "bright_plugin:broken failed: no licence"), ("other", "did not return a Target")],
)
def test_a_plugin_that_fails_is_named(installed: Path, protocol: str, complaint: str) -> None:
    file = installed / "targets.toml"
    file.write_text(f'[targets.toy]\nprotocol = "{protocol}"\n')
    with pytest.raises(TargetError, match=complaint):
        open_target(load_targets(file)["toy"])


def test_an_unknown_protocol_names_the_plugins_too(installed: Path) -> None:
    file = installed / "targets.toml"
    file.write_text('[targets.toy]\nprotocol = "brightnes"\n')
    with pytest.raises(RegistryError, match=r"brightness.*did you mean brightness"):
        load_targets(file)
