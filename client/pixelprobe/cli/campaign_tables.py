"""Campaigns, plans and their contents, as tables for people and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from pixelprobe.campaigns.runs import run_label
from pixelprobe.cli.campaign_start import Plan
from pixelprobe.cli.campaign_watch import duration
from pixelprobe.cli.console import safe
from pixelprobe.cli.tables import reason_lines, summary_table
from pixelprobe.model import Attack, Campaign, CampaignSpec, CampaignState, Goal, Outcome, Target
from pixelprobe.results.captions import OUTCOME_WORDS, count, describe_goal, describe_trouble
from pixelprobe.results.records import result_of

_STATE_COLOURS = {
    CampaignState.PENDING: "dim",
    CampaignState.RUNNING: "blue",
    CampaignState.SUCCEEDED: "cyan",
    CampaignState.CANCELLED: "yellow",
    CampaignState.PAUSED: "bold yellow",
    CampaignState.WAITING: "bold yellow",
}

_NAMED_GOALS = 4
"""Most target classes that are named."""


def campaign_json(campaign: Campaign) -> dict[str, Any]:
    """A campaign's state as JSON has it; times in ISO 8601, UTC."""
    return {
        **asdict(campaign),
        "run": run_label(campaign),
        "state": campaign.state.value,
        "create_time": _iso(campaign.create_time),
        "end_time": _iso(campaign.end_time),
    }


def spec_json(spec: CampaignSpec) -> dict[str, Any]:
    """Return what a campaign was asked to do as JSON has it; of its images only their number."""
    plain = {key: value for key, value in vars(spec).items() if key not in ("images", "search", "masks")}
    return {
        "images": len(spec.images),
        **plain,
        "goals": ["untargeted" if goal == Goal() else goal.target_class for goal in spec.goals],
        "search": vars(spec.search),
        "segmenter": spec.masks.segmenter,
        "accept_unreviewed": spec.masks.accept_unreviewed,
    }


def plan_json(plan: Plan) -> dict[str, Any]:
    """A plan; times in seconds."""
    total = plan.cost
    return {
        "images": plan.images,
        "rate": plan.rate,
        "rate_origin": plan.rate_origin,
        **asdict(total),
        "expected_seconds": total.expected_queries / plan.rate,
        "most_seconds": total.most_queries / plan.rate,
        "groups": [
            {"name": group.name, **asdict(cost), **spec_json(spec)} for group, spec, cost in plan.groups
        ],
    }


def campaign_table(campaigns: Sequence[Campaign]) -> Table:
    """Build a table with a line for each campaign."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("campaign", overflow="fold")
    table.add_column("called", overflow="fold")
    table.add_column("state")
    for heading in ("attacks", "queries"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("created", no_wrap=True)
    for campaign in campaigns:
        table.add_row(
            safe(campaign.name.removeprefix("campaigns/")),
            safe(campaign.display_name),
            f"[{_STATE_COLOURS[campaign.state]}]{campaign.state.value}",
            f"{campaign.attacks_finished - campaign.attacks_cancelled:,}/{campaign.attacks_total:,}",
            f"{campaign.queries_sent:,}",
            f"{campaign.create_time.astimezone():%Y-%m-%d %H:%M}" if campaign.create_time else "",
        )
    return table


def show_campaign(
    campaign: Campaign,
    spec: CampaignSpec,
    attacks: Sequence[Attack],
    targets: Mapping[str, Target],
    console: Console,
) -> None:
    """Print a campaign: its state, its spec, and its results so far.

    Args:
        campaign: as it is now.
        spec: its spec.
        attacks: those that have finished.
        targets: by name, for what their classes are called; those that have gone are not missed.
        console: where to.
    """
    reason = f": {safe(campaign.state_reason)}" if campaign.state_reason else ""
    console.print(f"[bold]{safe(campaign.display_name or campaign.name)}[/] ({safe(campaign.name)})")
    grid = Table.grid(padding=(0, 2))
    for heading, text in (
        ("state", f"[{_STATE_COLOURS[campaign.state]}]{campaign.state.value}[/]{reason}"),
        ("attacks", _finished(campaign)),
        ("queries", _queries(campaign)),
        ("images", _images(spec)),
        ("targets", safe(", ".join(spec.targets))),
        ("regions", ", ".join(region.value for region in spec.regions)),
        ("pixels", ", ".join(map(str, spec.pixel_counts))),
        ("goals", _goals(spec, targets)),
        ("search", _search(spec)),
        ("masks", _masks(spec)),
    ):
        grid.add_row(f"[dim]{heading}", text)
    console.print(grid)
    if attacks:
        outcomes = Counter(result_of(attack).outcome for attack in attacks)
        counts = (f"{outcomes[kind]:,} {OUTCOME_WORDS[kind]}" for kind in Outcome if outcomes[kind])
        console.print(f"[dim]outcomes[/]  {', '.join(counts)}\n")
        expected = len(spec.images) * len(spec.goals)
        console.print(summary_table(attacks, by_target=len(spec.targets) > 1, expected=expected))
        for line in reason_lines(attacks):
            console.print(f"  {safe(line)}", style="dim")
    console.print()


def show_plan(plan: Plan, called: str, console: Console) -> None:
    """A plan."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("group", "targets", "regions", "pixels", "goals"):
        table.add_column(heading, overflow="fold")
    for heading in ("images", "attacks", "queries expected", "at most"):
        table.add_column(heading, justify="right", no_wrap=True)
    for group, spec, cost in plan.groups:
        table.add_row(
            safe(group.name or called),
            str(len(spec.targets)),
            ", ".join(region.value for region in spec.regions),
            ", ".join(map(str, spec.pixel_counts)),
            ", ".join(safe(goal) for goal in group.goals),
            f"{len(spec.images):,}",
            f"{cost.attacks:,}",
            f"{cost.expected_queries:,}",
            f"{cost.most_queries:,}",
        )
    total = plan.cost
    console.print(table)
    console.print(
        f"\n{safe(called)}: {count(plan.images, 'image')}, {count(total.attacks, 'attack')}, "
        f"about {total.expected_queries:,} queries, at most {total.most_queries:,}"
    )
    console.print(
        f"At {plan.rate:,.0f} queries/s ({plan.rate_origin}): about "
        f"{duration(total.expected_queries / plan.rate)}, at most {duration(total.most_queries / plan.rate)}"
    )


def _finished(campaign: Campaign) -> str:
    finished = campaign.attacks_finished - campaign.attacks_cancelled
    cancelled = f", {campaign.attacks_cancelled:,} cancelled" if campaign.attacks_cancelled else ""
    return f"{finished:,} of {campaign.attacks_total:,} finished{cancelled}"


def _queries(campaign: Campaign) -> str:
    return (
        f"{campaign.queries_sent:,} sent, {campaign.queries_skipped:,} skipped, "
        f"{campaign.queries_repeated:,} repeated; {campaign.queries_answered:,} answered"
        + (f", {trouble}" if (trouble := describe_trouble(campaign)) else "")
    )


def _images(spec: CampaignSpec) -> str:
    preparation = f", {spec.image_preparation}" if spec.image_preparation else ""
    return f"{len(spec.images):,}{safe(preparation)}"


def _goals(spec: CampaignSpec, targets: Mapping[str, Target]) -> str:
    targeted = [goal.target_class for goal in spec.goals if goal.target_class is not None]
    parts = ["untargeted"] if Goal() in spec.goals else []
    known = [targets[name] for name in spec.targets if name in targets]
    if known and 0 < len(targeted) <= _NAMED_GOALS:
        parts += [safe(describe_goal(known[0], goal)) for goal in targeted]
    elif targeted:
        parts.append(f"targeted at {count(len(targeted), 'class', 'classes')}")
    return ", ".join(parts)


def _search(spec: CampaignSpec) -> str:
    search = spec.search
    stop = "early stop" if search.early_stop else "no early stop"
    budget = f"at most {spec.budget:,} queries" if spec.budget else "no budget"
    return (
        f"{search.strategy.value}, {search.population} x {search.generations} generations, {stop}, "
        f"{search.region_mode.value}, {budget}, seed {spec.seed}"
    )


def _masks(spec: CampaignSpec) -> str:
    review = "used unreviewed" if spec.masks.accept_unreviewed else "left out where they need review"
    return f"{safe(spec.masks.segmenter or 'auto')}, {review}"


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
