"""Checks before a campaign is created (images, labels and classes fit its targets) and before it runs."""

from __future__ import annotations

from pixelprobe_services.common.errors import InvalidArgumentError, NotFoundError
from pixelprobe_services.common.spec import CampaignImage, CampaignSpec
from pixelprobe_services.orchestrator.campaigns.waiting import Patience, asks_to_wait
from pixelprobe_services.orchestrator.core.search.factory import check_search
from pixelprobe_services.orchestrator.query.pool import BatcherPool
from pixelprobe_services.orchestrator.store.base import Store
from pixelprobe_services.orchestrator.targets.base import TargetInfo, TargetUnavailableError

MAX_TEXT = 1000
"""Characters of a display name."""
MAX_HINTS = 16 * 1024
"""Bytes of the mask options, which hold for all images: each page of campaigns repeats them."""


async def check_spec(spec: CampaignSpec, store: Store, batchers: BatcherPool) -> None:
    """Check ``spec`` against its targets and the uploaded images.

    Raises:
        NotFoundError: an unknown target or image.
        InvalidArgumentError: a text is too long, or a size, label or class does not fit a target.
        InvalidSpecError: the search cannot change so many pixels, or needs scores that a target lacks.
        TargetError: a target cannot be described now.
    """
    check_texts(spec)
    infos = [(await batchers.get(name)).info for name in spec.targets]
    await check_images(store, spec, infos)
    check_goals(spec, infos)
    labels_only = any(info.answers == "labels" for info in infos)
    check_search(spec.search, spec.pixel_counts, labels_only=labels_only)


async def check_targets(spec: CampaignSpec, batchers: BatcherPool, patience: Patience) -> None:
    """Check that the targets of ``spec`` answer, before its attacks start or continue.

    A target that is away and with which patience is used up is no obstacle while another answers.

    Raises:
        NotFoundError, TargetError: a target is gone, or is not what it was.
        TargetUnavailableError: one cannot be reached now, and is worth waiting for.
    """
    away: dict[str, TargetUnavailableError] = {}
    for name in spec.targets:
        try:
            await batchers.check(name)
        except TargetUnavailableError as error:
            away[name] = error
    waiting = [error for name, error in away.items() if asks_to_wait(error) or patience.is_left(name)]
    if waiting or len(away) == len(spec.targets):
        raise (waiting or list(away.values()))[0]


def check_texts(spec: CampaignSpec) -> None:
    """Check the lengths of texts and mask options, which answers repeat.

    Raises:
        InvalidArgumentError: one is too long.
    """
    texts = [("display_name", spec.display_name), ("masks.segmenter", spec.masks.segmenter)]
    texts += [(f"images[{n}].display_name", image.display_name) for n, image in enumerate(spec.images)]
    for field, text in texts:
        if len(text) > MAX_TEXT:
            raise InvalidArgumentError(field, f"{len(text)} characters are more than {MAX_TEXT}")
    if len(spec.masks.hints) > MAX_HINTS:
        raise InvalidArgumentError("masks", f"{len(spec.masks.hints)} bytes of options are over {MAX_HINTS}")


async def check_images(store: Store, spec: CampaignSpec, infos: list[TargetInfo]) -> None:
    """Check that all images were uploaded and fit the targets.

    Raises:
        NotFoundError: an image was not uploaded.
        InvalidArgumentError: an image, its mask or its label does not fit a target.
    """
    digests = {image.digest for image in spec.images}
    sizes = await store.image_sizes(digests)
    missing = digests - sizes.keys()
    if missing:
        raise NotFoundError(
            f"{len(missing)} images were not uploaded, {sorted(missing)[0]} among them",
            reason="IMAGE_NOT_FOUND",
        )
    for index, image in enumerate(spec.images):
        for info in infos:
            _check_image(f"images[{index}]", image, sizes[image.digest], info)


def _check_image(field: str, image: CampaignImage, size: tuple[int, int], info: TargetInfo) -> None:
    height, width = size
    if (width, height) != (info.width, info.height):
        raise InvalidArgumentError(
            field,
            f"{image.display_name or image.digest[:12]} is {width}x{height} pixels,"
            f" target {info.name} takes {info.width}x{info.height}",
        )
    if image.mask is not None and image.mask.shape != (height, width):
        raise InvalidArgumentError(
            f"{field}.mask",
            f"is {image.mask.shape[1]}x{image.mask.shape[0]} pixels, its image {width}x{height}",
        )
    if image.label is not None and image.label >= info.classes:
        raise InvalidArgumentError(
            f"{field}.label", f"{image.label} is no class of {info.name} (0 to {info.classes - 1})"
        )


def check_goals(spec: CampaignSpec, infos: list[TargetInfo]) -> None:
    """Check the goals' classes.

    Raises:
        InvalidArgumentError: a target has no such class.
    """
    for index, goal in enumerate(spec.goals):
        for info in infos:
            if goal.target_class is not None and goal.target_class >= info.classes:
                raise InvalidArgumentError(
                    f"goals[{index}].target_class",
                    f"{goal.target_class} is no class of {info.name} (0 to {info.classes - 1})",
                )


def same_request(one: CampaignSpec, other: CampaignSpec) -> bool:
    """Whether two specs are equal; masks are compared by their pixels."""

    def plain(spec: CampaignSpec) -> tuple[object, ...]:
        images = [
            (image.digest, image.label, None if image.mask is None else image.mask.tobytes())
            for image in spec.images
        ]
        return (
            images, spec.targets, spec.regions, spec.pixel_counts, spec.goals, spec.search,
            spec.budget, spec.seed, spec.masks, spec.attack_misclassified,
            spec.repeats,
        )  # fmt: skip

    return plain(one) == plain(other)
