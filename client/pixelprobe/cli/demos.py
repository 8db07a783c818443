"""The two demos as data: which shipped images on which classifiers, and how hard the search tries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pixelprobe.cli.imagenet_models import CLASSIFIER, SEGMENTER
from pixelprobe.inputs.images import load_image
from pixelprobe.inputs.planned import PlannedImage, fit_to_target
from pixelprobe.model import PAPER, CampaignSpec, MaskSettings, Region, SearchSettings, Strategy, Target
from pixelprobe.samples import load_photographs, load_samples

REGIONS = (Region.WHOLE, Region.FOREGROUND, Region.BACKGROUND)
PIXELS = (1, 3)


@dataclass(frozen=True)
class Demo:
    """One demo.

    Attributes:
        title: of its contact sheet.
        targets: the classifiers' names.
        images: makes its images in the size of the target given.
        search: of every attack.
        budget: most queries an attack sends, unless the person says otherwise.
        segmenter: makes the masks; "" lets the segmentation service choose.
    """

    title: str
    targets: tuple[str, ...]
    images: Callable[[Target], Sequence[PlannedImage]]
    search: SearchSettings
    budget: int
    segmenter: str = ""

    def spec(self, budget: int, seed: int) -> CampaignSpec:
        """Its campaign, but for the images."""
        return CampaignSpec(
            images=(),
            targets=self.targets,
            regions=REGIONS,
            pixel_counts=PIXELS,
            search=self.search,
            budget=budget,
            seed=seed,
            display_name="pixelprobe demo",
            masks=MaskSettings(self.segmenter),
        )


def _samples(target: Target) -> list[PlannedImage]:
    planned = [PlannedImage(load_image(sample.path), sample.label) for sample in load_samples()]
    return [fit_to_target(image, target, resize=False) for image in planned]


def _photographs(target: Target) -> list[PlannedImage]:
    planned = [PlannedImage(load_image(path)) for path in load_photographs()]
    return [fit_to_target(image, target, resize=True) for image in planned]


# 216 attacks: at most 86,400 queries, two to three minutes on two cores.
CIFAR10 = Demo(
    title="pixelprobe demo: a few changed pixels against three classifiers",
    targets=("allconv_cifar10", "nin_cifar10", "vgg16_cifar10"),
    images=_samples,
    search=SearchSettings(strategy=Strategy.of(PAPER), population=100, generations=3),
    budget=400,
)
# 18 attacks: at most 18,000 queries, each 12 ms of a core: about two minutes on two cores.
IMAGENET = Demo(
    title="pixelprobe demo: a few changed pixels in photographs",
    targets=(CLASSIFIER,),
    images=_photographs,
    search=SearchSettings(strategy=Strategy.of(PAPER), population=200, generations=4),
    budget=1000,
    segmenter=SEGMENTER,
)
