"""Every interval an orchestrator waits by, in one value, so that tests can run with short ones."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from pixelprobe_services.common.retry import RetryPolicy

TIMING_ENV = "PIXELPROBE_TIMING"
"""For tests that start services as processes: ``poll=0.1,lease=1.5``. Not meant for operators."""


@dataclass(frozen=True)
class Timing:
    """Intervals in seconds; the defaults are those of production.

    >>> Timing.parse("poll=0.1,target_attempts=3").poll
    0.1

    Attributes:
        poll: between two reads of the campaigns that other orchestrators changed in the store.
        first_wait: a campaign's first pause when something it needs is out of reach; later ones double.
        longest_wait: the longest of these pauses.
        day_wait: between two checks whether an owner without queries left has a new day.
        watch_poll: the longest a watcher sleeps before it reads the store again.
        shared_read: how long watchers share an answer of the store, which other orchestrators may change.
        save: between two checkpoints of an attack.
        lease: after its last renewal, others take over what an orchestrator runs.
        target_attempts: attempts of a request to a target. Nine take half a minute: a model server that is
            restarted is back by then. Waiting costs no queries.
        mask_attempts: attempts of a request to the segmentation service.
        first_retry: the first pause between two attempts; later ones double.
        longest_retry: the longest of these pauses.
    """

    poll: float = 2.0
    first_wait: float = 2.0
    longest_wait: float = 30.0
    day_wait: float = 30.0
    watch_poll: float = 1.0
    shared_read: float = 0.5
    save: float = 1.0
    lease: float = 10.0
    target_attempts: int = 9
    mask_attempts: int = 8
    first_retry: float = 0.25
    longest_retry: float = 8.0

    @property
    def target_retry(self) -> RetryPolicy:
        """How requests to targets are repeated."""
        return RetryPolicy(self.target_attempts, self.first_retry, self.longest_retry)

    @property
    def mask_retry(self) -> RetryPolicy:
        """How requests to the segmentation service are repeated."""
        return RetryPolicy(self.mask_attempts, self.first_retry, self.longest_retry)

    @classmethod
    def parse(cls, text: str) -> Timing:
        """Read ``name=value,...``; what is not named keeps its default.

        Raises:
            ValueError: an unknown name, or a value that is not a positive number.
        """
        names = [field.name for field in fields(cls)]
        changes: dict[str, float] = {}
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            name, _, value = part.partition("=")
            if name not in names:
                raise ValueError(f"{name!r} is none of {', '.join(names)}")
            number = int(value) if name.endswith("attempts") else float(value)
            if not number > 0:
                raise ValueError(f"{name} is {value}, expected a positive number")
            changes[name] = number
        return replace(cls(), **changes)  # type: ignore[arg-type]
