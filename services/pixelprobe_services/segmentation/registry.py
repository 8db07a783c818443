"""The segmenters, and the choice of one: by name, or "auto" by options and image size."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pixelprobe_services.common.errors import FailedPreconditionError, InvalidArgumentError
from pixelprobe_services.segmentation.base import Cut, Options, Pixels, Segmenter
from pixelprobe_services.segmentation.grabcut import GrabCut
from pixelprobe_services.segmentation.salient import Salient

AUTO = "auto"

SMALL_SIDE = 64
"""Up to this many pixels a side, "auto" takes GrabCut: on these U2-Net fails, as the paper says."""


class UnconfiguredSalient(Segmenter):
    """U2-Net's place in the list while no server for its model is configured."""

    id = Salient.id
    description = Salient.description
    interactive = Salient.interactive
    options = Salient.options

    def unavailable_reason(self) -> str:
        """Always one."""
        return "no Triton address is configured for U2-Net"

    def segment(self, image: Pixels, options: Options | None, stop: threading.Event) -> Cut:  # noqa: ARG002
        """Always refused: see the base class."""
        raise FailedPreconditionError(
            f"{self.id}: {self.unavailable_reason()}", reason="SEGMENTER_UNAVAILABLE"
        )


@dataclass(frozen=True)
class Listing:
    """A segmenter as clients see it; ``unavailable_reason`` is empty when it can be used."""

    id: str
    description: str
    interactive: bool
    unavailable_reason: str


class Choice(NamedTuple):
    """The segmenter to run, and why that one; the reason is empty when it was asked for by name."""

    segmenter: Segmenter
    reason: str


class Registry:
    """The segmenters of one server, by id."""

    def __init__(self, segmenters: Sequence[Segmenter]) -> None:
        self._by_id = {segmenter.id: segmenter for segmenter in segmenters}

    def choose(self, name: str, image: Pixels, options: Options | None) -> Choice:
        """The segmenter to run for ``name`` (an id, "auto" or empty). May wait a few seconds for its server.

        Options decide for "auto": they mean the segmenter that takes them. Without any, an image of at most
        SMALL_SIDE pixels a side gets GrabCut, a larger one U2-Net where it is available.

        Raises:
            InvalidArgumentError: no such segmenter, or it does not take these options.
            FailedPreconditionError: it cannot be used now.
        """
        auto = name in ("", AUTO)
        choice = self._auto(image, options) if auto else Choice(self._named(name), "")
        segmenter = choice.segmenter
        if options is not None and not isinstance(options, segmenter.options):
            raise InvalidArgumentError(options.field, f"'{segmenter.id}' does not take these options")
        reason = segmenter.unavailable_reason()
        if reason:
            raise FailedPreconditionError(f"{segmenter.id}: {reason}", reason="SEGMENTER_UNAVAILABLE")
        return choice

    def known(self, name: str) -> str:
        """Return ``name`` if it is a segmenter's id, else "auto"."""
        return name if name in self._by_id else AUTO

    def list(self) -> list[Listing]:
        """All segmenters, "auto" first."""
        auto = Listing(AUTO, f"GrabCut up to {SMALL_SIDE} pixels a side, else U2-Net if available", True, "")
        return [
            auto,
            *(
                Listing(each.id, each.description, each.interactive, each.unavailable_reason())
                for each in self._by_id.values()
            ),
        ]

    def _named(self, name: str) -> Segmenter:
        if name not in self._by_id:
            known = ", ".join((AUTO, *self._by_id))
            raise InvalidArgumentError("segmenter", f"'{name[:100]}' is none of {known}")
        return self._by_id[name]

    def _auto(self, image: Pixels, options: Options | None) -> Choice:
        for segmenter in self._by_id.values():
            if options is not None and isinstance(options, segmenter.options):
                return Choice(segmenter, "auto: the options given are its own")
        grabcut, salient = self._by_id[GrabCut.id], self._by_id[Salient.id]
        if max(image.shape[:2]) <= SMALL_SIDE:
            return Choice(grabcut, f"auto: at most {SMALL_SIDE} pixels a side")
        missing = salient.unavailable_reason()
        if missing:
            return Choice(grabcut, f"auto: {salient.id} is not available: {missing}")
        return Choice(salient, f"auto: more than {SMALL_SIDE} pixels a side")
