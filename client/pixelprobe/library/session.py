"""Attacks from Python: one call for one image or many, on one target or many."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict, TypeVar, Unpack

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelprobe.addresses import find_addresses
from pixelprobe.api import PixelprobeClient
from pixelprobe.campaigns.follow import run_campaign
from pixelprobe.connection import ConnectionOptions, find_peer
from pixelprobe.inputs.images import InputImage, load_image
from pixelprobe.inputs.planned import (
    PlanError,
    PlannedImage,
    choose_class,
    choose_targets,
    fit_to_target,
    per_image,
    with_images,
)
from pixelprobe.inputs.sizing import Sizing, describe_sizing
from pixelprobe.library.results import AttackResult, AttackResults, collect
from pixelprobe.model import (
    CampaignSpec,
    Event,
    Goal,
    MaskSettings,
    Region,
    RegionMode,
    SearchSettings,
    Strategy,
    Target,
)

ImageLike = str | os.PathLike[str] | NDArray[np.uint8] | Image.Image
"""A file, a PIL image, or an array (height, width, 3) uint8 RGB."""

Choice = TypeVar("Choice", Region, RegionMode, Strategy, Sizing)


class Options(TypedDict, total=False):
    """What :meth:`Session.attack` and :meth:`Session.attack_all` take besides.

    Attributes:
        budget: most queries of one attack, the clean image included; no limit by default.
        seed: the same seed gives the same results; 0 by default.
        population: candidates of a generation; 400 by default.
        generations: most generations after the start population; 100 by default.
        search: ``auto`` by default; ``paper`` is the paper's differential evolution. See docs/searches.md.
        region_mode: ``composite`` (default) undoes edits outside the region, ``project`` moves them into it.
        labels: true classes, one for all images or one each; an image that the target misreads is left out.
        masks: (height, width) bool, True is foreground, one for all images or one each; by default the
            segmentation service makes them.
        resize: ``crop``, ``stretch`` or ``short-side-256`` for images of another size; by default refused.
        accept_masks: use masks that a person should review first.
        attack_misclassified: attack images that the target misreads, too.
        on_event: called with each event while the campaign runs.
    """

    budget: int
    seed: int
    population: int
    generations: int
    search: str
    region_mode: str
    labels: Sequence[int | str]
    masks: Sequence[NDArray[np.bool_]]
    resize: str
    accept_masks: bool
    attack_misclassified: bool
    on_event: Callable[[Event], None]


class Session:
    """A connection to a stack. Make one with :func:`connect`; a context manager.

    Example::

        with pixelprobe.connect("127.0.0.1:50062") as session:
            results = session.attack_all(["cat.png", "dog.png"], targets=["nin_cifar10"], pixels=[1, 3])
        print(results.to_frame())
    """

    def __init__(self, client: PixelprobeClient) -> None:
        self.client = client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self.client.close()

    def targets(self) -> list[Target]:
        """The targets that the orchestrator's operator has named, available or not."""
        return self.client.list_targets()

    def attack(
        self,
        image: ImageLike,
        *,
        target: str,
        region: str = "whole",
        pixels: int = 1,
        target_class: int | str | None = None,
        **options: Unpack[Options],
    ) -> AttackResult:
        """Attack one image, and wait for the result.

        Args:
            image: a file, a PIL image, or an array (height, width, 3) uint8 RGB.
            target: name of a target, see :meth:`targets`.
            region: ``whole``, ``foreground``, ``background`` or ``control``.
            pixels: how many pixels may change, 1 to 64.
            target_class: class to reach, a number or a label; None is untargeted.
            options: see :class:`Options`.

        Raises:
            PlanError, ImageError: an argument or an image cannot be used.
            TargetNotAvailableError: the target cannot be attacked now.
            ServiceError: a service refused the campaign, or failed.
        """
        (result,) = self.attack_all(
            [image],
            targets=[target],
            regions=[region],
            pixels=[pixels],
            target_classes=[target_class],
            **options,
        )
        return result

    def attack_all(
        self,
        images: Sequence[ImageLike],
        *,
        targets: Sequence[str],
        regions: Sequence[str] = ("whole",),
        pixels: Sequence[int] = (1,),
        target_classes: Sequence[int | str | None] = (None,),
        **options: Unpack[Options],
    ) -> AttackResults:
        """Attack every image on every target, in every region, with every number of pixels, for every goal.

        The arguments are those of :meth:`attack`, in plural, and so are the errors.

        Returns:
            The results in the order images, targets, regions, pixels, goals.
        """
        chosen = choose_targets(targets, self.client.list_targets())
        resize = options.get("resize")
        how = _choice(Sizing, resize, "resize") if resize is not None else None
        planned = _plan(images, options.get("masks", ()), options.get("labels", ()), chosen, how)
        spec = CampaignSpec(
            images=(),
            targets=tuple(target.name for target in chosen),
            regions=tuple(_choice(Region, name, "region") for name in regions),
            pixel_counts=tuple(pixels),
            goals=tuple(
                Goal() if wanted is None else Goal(choose_class(str(wanted), chosen, "target_class"))
                for wanted in target_classes
            ),
            search=SearchSettings(
                strategy=_search(options.get("search", "auto")),
                population=options.get("population", 400),
                generations=options.get("generations", 100),
                region_mode=_choice(RegionMode, options.get("region_mode", "composite"), "region_mode"),
            ),
            budget=options.get("budget"),
            seed=options.get("seed", 0),
            display_name="pixelprobe.attack",
            masks=MaskSettings(accept_unreviewed=options.get("accept_masks", False)),
            attack_misclassified=options.get("attack_misclassified", False),
            image_preparation=describe_sizing(how, chosen[0].width, chosen[0].height),
        )
        digests = self.client.upload_images([one.image.pixels for one in planned])
        spec = with_images(spec, planned, digests)
        run = run_campaign(self.client, spec, options.get("on_event", _ignore), lambda: None)
        return collect(run.attacks, planned, chosen, spec)


def connect(orchestrator: str | None = None, segmentation: str | None = None) -> Session:
    """Open a session.

    Args:
        orchestrator: HOST:PORT; by default PIXELPROBE_ORCHESTRATOR, else the running local stack's.
        segmentation: HOST:PORT; likewise.

    Raises:
        AddressError: an address is not HOST:PORT.
        PeerError: a certificate, key or token from the environment cannot be used.
    """
    addresses = find_addresses(orchestrator=orchestrator, segmentation=segmentation)
    return Session(PixelprobeClient(addresses, find_peer(ConnectionOptions())))


def attack(
    image: ImageLike,
    *,
    target: str,
    region: str = "whole",
    pixels: int = 1,
    target_class: int | str | None = None,
    **options: Unpack[Options],
) -> AttackResult:
    """Attack one image on the stack that :func:`connect` finds; see :meth:`Session.attack`."""
    with connect() as session:
        return session.attack(
            image, target=target, region=region, pixels=pixels, target_class=target_class, **options
        )


def _plan(
    images: Sequence[ImageLike],
    masks: Sequence[NDArray[np.bool_]],
    labels: Sequence[int | str],
    targets: Sequence[Target],
    how: Sizing | None,
) -> list[PlannedImage]:
    """The images in the targets' size, with their true classes and masks."""
    classes = per_image([choose_class(str(one), targets, "labels") for one in labels], len(images), "labels")
    planned = []
    for number, mask in enumerate(per_image(masks, len(images), "masks")):
        image = _load(images[number], number)
        if mask is not None and np.shape(mask) != image.pixels.shape[:2]:
            expected = image.pixels.shape[:2]
            raise PlanError(f"{image.path}: the mask has shape {np.shape(mask)}, expected {expected}")
        one = PlannedImage(image, classes[number], None if mask is None else np.asarray(mask, dtype=np.bool_))
        planned.append(fit_to_target(one, targets[0], resize=how is not None, how=how or Sizing.CROP))
    return planned


def _load(image: ImageLike, number: int) -> InputImage:
    if isinstance(image, str | os.PathLike):
        return load_image(Path(image))
    pixels = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise PlanError(
            f"image {number}: expected (height, width, 3) uint8 RGB, got {pixels.shape} {pixels.dtype}"
        )
    return InputImage(Path(f"image_{number}"), np.ascontiguousarray(pixels), ())


def _choice(kind: type[Choice], value: str, argument: str) -> Choice:
    try:
        return kind(value)
    except ValueError:
        listed = ", ".join(member.value for member in kind)
        raise PlanError(f"{argument}: {value!r} is none of {listed}") from None


def _search(name: str) -> Strategy:
    try:
        return Strategy.of(name)
    except ValueError:
        listed = ", ".join(("paper", *(strategy.value for strategy in Strategy)))
        raise PlanError(f"search: {name!r} is none of {listed}") from None


def _ignore(_event: Event) -> None:
    return
