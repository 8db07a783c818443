"""Describe attacks in words: titles, classes with their probabilities, and how an attack ended."""

from __future__ import annotations

from typing import Protocol

from pixelprobe.model import Attack, ClassScore, Outcome, Target
from pixelprobe.results.records import result_of

OUTCOME_WORDS = {
    Outcome.SUCCESS: "success",
    Outcome.FAILURE: "failure",
    Outcome.NOT_APPLICABLE: "not applicable",
    Outcome.BUDGET_EXHAUSTED: "budget exhausted",
    Outcome.CANCELLED: "cancelled",
    Outcome.ERROR: "error",
}


def percent(probability: float) -> str:
    """A probability for people: whole percents, finer near 0 and 1 so that 99.96% never reads as certain."""
    value = 100 * probability
    if 1 <= value <= 99 or value in (0, 100):
        return f"{value:.0f}%"
    return f"{value:.2f}%" if 0.005 <= value <= 99.995 else f"{value:.4f}%"


def class_name(target: Target, class_index: int) -> str:
    """A class by its label, or by its index where there is none."""
    return target.label(class_index) or f"class {class_index}"


def describe_class(target: Target, score: ClassScore) -> str:
    """A class and its probability."""
    return f"{class_name(target, score.class_index)} {percent(score.probability)}"


def describe_goal(target: Target, target_class: int | None) -> str:
    """The goal of an attack in words."""
    return "untargeted" if target_class is None else f"targeted at {class_name(target, target_class)}"


def attack_title(attack: Attack, target: Target) -> str:
    """Target, region, pixels and goal on one line."""
    goal = describe_goal(target, attack.target_class)
    return f"{attack.target} · {attack.region.value} · {count(attack.pixels, 'pixel')} · {goal}"


def how_it_ended(attack: Attack) -> str:
    """Outcome, effort and reason on one line."""
    result = result_of(attack)
    effort = (
        f"{count(result.queries_sent, 'query', 'queries')} sent, {count(result.generations, 'generation')}"
    )
    return f"{OUTCOME_WORDS[result.outcome]}: {result.reason or effort}"


class QueryFates(Protocol):
    """What became of queries: of a campaign, a result or an attack under way."""

    @property
    def queries_timed_out(self) -> int:
        """Sent, and never answered."""

    @property
    def queries_rejected(self) -> int:
        """Turned away by the target."""

    @property
    def retries(self) -> int:
        """Sent again."""


def describe_trouble(*parts: QueryFates) -> str:
    """Queries that were not answered at once, over all ``parts``; empty where all were."""
    counts = {
        "timed out": sum(part.queries_timed_out for part in parts),
        "rejected": sum(part.queries_rejected for part in parts),
        "sent again": sum(part.retries for part in parts),
    }
    return ", ".join(f"{number:,} {what}" for what, number in counts.items() if number)


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
