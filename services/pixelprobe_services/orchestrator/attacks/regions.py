"""Where an attack's edits may land: the image's mask, and the region made of it."""

from __future__ import annotations

from dataclasses import dataclass

from pixelprobe_services.common.spec import CampaignSpec
from pixelprobe_services.common.values import MaskArray, Pixels, Region, control_seed
from pixelprobe_services.orchestrator.attacks.masks import MaskSource
from pixelprobe_services.orchestrator.core.region import RegionMap
from pixelprobe_services.orchestrator.store.base import AttackRecord, Store, StoredMask


@dataclass(frozen=True, eq=False)
class AttackRegion:
    """The region of one attack.

    Attributes:
        mask: (height, width) bool, the mask in use; None where none was needed.
        region: where edits may land; None where there is nothing to attack.
        reason: why there is nothing to attack; empty where there is.
        area_fraction: share of the image that the region covers, 0 to 1.
    """

    mask: MaskArray | None
    region: RegionMap | None
    reason: str = ""
    area_fraction: float = 0.0


async def region_of(
    record: AttackRecord, spec: CampaignSpec, image: Pixels, store: Store, masks: MaskSource
) -> AttackRegion:
    """Find the region of an attack on ``image``, (height, width, 3) uint8 RGB.

    The mask is the spec's own, or the one that the campaign keeps for this image. It is made once, however
    many attacks need it.

    Raises:
        MaskError: the segmentation service gave none; MaskUnavailableError if trying later may help.
    """
    height, width, _ = image.shape
    mask = spec.images[record.image_index].mask
    wanted = record.key.region
    if mask is None and wanted is not Region.WHOLE:
        kept = await _kept_mask(record, spec, image, store, masks)
        mask = kept.mask
        if kept.review_reason and not spec.masks.accept_unreviewed:
            return AttackRegion(mask, None, f"the mask needs review: {kept.review_reason}")
    seed = control_seed(spec.seed, record.key.image_digest)
    region = RegionMap.from_mask(wanted, mask, height, width, seed)
    if region.is_empty:
        return AttackRegion(mask, None, f"the {wanted.value} has no pixels")
    if wanted is not Region.WHOLE and region.allowed.all():
        # Such an attack would count as one on a part of the image although it may change any pixel.
        return AttackRegion(mask, None, f"the {wanted.value} is the whole image", 1.0)
    return AttackRegion(mask, region, area_fraction=region.area_fraction)


async def _kept_mask(
    record: AttackRecord, spec: CampaignSpec, image: Pixels, store: Store, masks: MaskSource
) -> StoredMask:
    campaign, digest = record.id.campaign_id, record.key.image_digest
    kept = await store.get_mask(campaign, digest)
    if kept is None:
        made = await masks.mask_for(image, digest, spec.masks)
        kept = await store.put_mask(campaign, digest, StoredMask(made.mask, made.review_reason))
    return kept
