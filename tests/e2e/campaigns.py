"""A small campaign that is run many times: its progress, and the result it must have under every fault."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pixelprobe.addresses import Addresses
from pixelprobe.api import PixelprobeClient
from pixelprobe.model import Campaign, CampaignState, Outcome
from pixelprobe_services.common.errors import UnavailableError
from tests.e2e.inside import SCORED
from tests.e2e.stack import ROOT, ComposeStack

ENDED_WITHIN_SECONDS = 600.0
"""Of one campaign, the outage and the recovery included; ten times what two free cores take."""

_POLL_SECONDS = 0.3
_MAY_DIFFER = ("campaign", "campaign_name", "attack", "queries_sent", "queries_to_success")
"""Queries whose answers were lost are sent again, and count."""

_SPEC = """
name = "NAME"
seed = 11
targets = ["allconv_cifar10", "nin_cifar10"]
regions = ["whole", "foreground", "background"]
pixels = [1]

[data]
kind = "folder"
folder = "IMAGES"
count = 4
only_correct = false
class_folders = false

[masks]
method = "grabcut"
accept_unreviewed = true

[search]
population = 60
generations = 7
early_stop = false
"""

ATTACKS = 2 * 3 * 4


@dataclass
class Scored:
    """Queries that Triton counted, over all its runs since this object was made.

    A life ends with the container; what was scored after the last look at a life is missed, never made up.
    """

    stack: ComposeStack
    lives: dict[str, int] = field(default_factory=dict)
    before: int = 0

    def __post_init__(self) -> None:
        self.look()
        self.before = sum(self.lives.values())

    def look(self) -> None:
        """Add what the current run has scored so far."""
        life = self.stack.container("triton").attrs["State"]["StartedAt"]
        self.lives[life] = int(float(self.stack.python("triton", SCORED)))

    @property
    def total(self) -> int:
        return sum(self.lives.values()) - self.before


@dataclass
class Run:
    """A campaign on its way. ``seconds``: how long it took, once it has ended."""

    stack: ComposeStack
    client: PixelprobeClient
    name: str
    seconds: float = 0.0

    @classmethod
    def start(cls, stack: ComposeStack, label: str, folder: Path) -> Run:
        """Begin it through the CLI, under a name of its own, as the same spec would be the same run."""
        spec = folder / f"{label}.toml"
        images = ROOT / "tests" / "fixtures" / "cifar10"
        spec.write_text(_SPEC.replace("NAME", label).replace("IMAGES", str(images)))
        (started,) = json.loads(stack.pixelprobe("campaign", "run", str(spec), "--detach", "--json"))
        addresses = Addresses(stack.address("orchestrator"), stack.address("segmentation"))
        run = cls(stack, PixelprobeClient(addresses), started["name"])
        run._began = time.monotonic()
        return run

    _began: float = 0.0

    def look(self) -> Campaign | None:
        """Return its progress; None while no service answers."""
        try:
            return self.client.get_campaign(self.name)
        except UnavailableError:
            return None

    def until(self, good: Callable[[Campaign], bool], seconds: float = ENDED_WITHIN_SECONDS) -> Campaign:
        """Wait until the condition holds."""
        give_up, last = time.monotonic() + seconds, None
        while True:
            seen = self.look()
            if seen is not None and good(seen):
                return seen
            last = seen or last
            assert time.monotonic() < give_up, f"not so within {seconds:.0f} s; last seen: {last}"
            time.sleep(_POLL_SECONDS)

    def until_midway(self, expected_queries: int) -> None:
        """Wait until over a fifth of the queries are through, some attacks are, and see that most are not."""
        seen = self.until(
            lambda campaign: campaign.queries_sent > 0.25 * expected_queries and campaign.attacks_finished > 0
        )
        assert seen.queries_sent < 0.7 * expected_queries, "too fast to be disturbed in its midst"
        assert seen.attacks_finished < seen.attacks_total

    def rows(self, folder: Path) -> list[dict[str, Any]]:
        """Its results as the CLI exports them, once it has ended as it should."""
        ended = self.until(lambda campaign: campaign.state is CampaignState.SUCCEEDED)
        self.seconds = time.monotonic() - self._began
        self.client.close()
        assert ended.attacks_finished == ended.attacks_total == ATTACKS
        out = folder / "rows.json"
        self.stack.pixelprobe("campaign", "export", self.name, "--out", str(out))
        rows: list[dict[str, Any]] = json.loads(out.read_text())
        assert len(rows) == len({row["attack"] for row in rows}) == ATTACKS
        return rows


def results(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the fields that no fault may change."""
    return [{key: value for key, value in row.items() if key not in _MAY_DIFFER} for row in rows]


def queries(rows: Iterable[dict[str, Any]]) -> int:
    """The ledger's count."""
    return sum(int(row["queries_sent"]) for row in rows)


def check_undisturbed(rows: list[dict[str, Any]]) -> None:
    """A reference that is worth comparing with: attacks that ran, and not all to the same end."""
    outcomes = {row["outcome"] for row in rows}
    assert Outcome.ERROR.value not in outcomes
    assert {Outcome.SUCCESS.value, Outcome.FAILURE.value} <= outcomes
    assert sum(row["generations"] for row in rows) > 80
