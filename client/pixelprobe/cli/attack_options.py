"""The options of ``pixelprobe attack``, by section of its help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from pixelprobe.cli.options import PATH, complete_target
from pixelprobe.cli.shell import Decorator, sectioned
from pixelprobe.inputs.sizing import Sizing
from pixelprobe.model import PAPER, Region, RegionMode, Strategy
from pixelprobe_services.common.spec import MAX_PIXELS, MAX_SEED
from pixelprobe_services.common.values import MAX_GENERATIONS, MAX_POPULATION, MIN_POPULATION

UNTARGETED = "untargeted"
TARGETED = "targeted"

_what = sectioned("What to attack")
_image = sectioned("Images and masks")
_search = sectioned("Search")


def _in_order(*options: Decorator) -> Decorator:
    """Options as one decorator, in the order of the help."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


what_options = _in_order(
    _what(
        "--target",
        "target_names",
        multiple=True,
        required=True,
        metavar="NAME",
        shell_complete=complete_target,
        help="A classifier by name, see `targets list`; may be repeated.",
    ),
    _what(
        "--region",
        "regions",
        multiple=True,
        type=click.Choice([region.value for region in Region]),
        default=[Region.WHOLE.value],
        help="Where pixels may change; may be repeated. Default: whole.",
    ),
    _what(
        "--pixels",
        multiple=True,
        type=click.IntRange(1, MAX_PIXELS),
        default=[1],
        metavar="1|3|5",
        help="How many pixels may change (up to 64); may be repeated. Default: 1.",
    ),
    _what(
        "--goal",
        type=click.Choice([UNTARGETED, TARGETED]),
        help="Any other class, or the classes of --target-class. Default: untargeted without one.",
    ),
    _what(
        "--target-class",
        "target_classes",
        multiple=True,
        metavar="CLASS",
        help="Reach this class, an index or a label (an index where labels repeat); may be repeated.",
    ),
)
"""Targets, regions, pixels and goals."""

image_options = _in_order(
    _image(
        "--label",
        "labels",
        multiple=True,
        metavar="CLASS",
        help="True class, an index or a label: once for all images, or once each. An image that the "
        "target gets wrong before any change is then left out (not_applicable).",
    ),
    _image(
        "--attack-misclassified",
        is_flag=True,
        help="Attack images that the target gets wrong, too.",
    ),
    _image(
        "--mask",
        "masks",
        multiple=True,
        type=PATH,
        metavar="PNG",
        help="Foreground mask (white above 127): once for all images, or once each. Default: the "
        "segmentation service makes one where a region needs it.",
    ),
    _image(
        "--accept-masks",
        is_flag=True,
        help="Use made masks even where a person should look first. Default: leave such images out.",
    ),
    _image(
        "--resize",
        is_flag=True,
        help="Resize images (and masks) that have not the target's size, as --resize-how says.",
    ),
    _image(
        "--resize-how",
        type=click.Choice([how.value for how in Sizing]),
        help="crop (the default): around the centre, then resample. stretch: the whole image. "
        "short-side-256: the shorter side to 256, then the centre 224, or in that proportion. "
        "Implies --resize.",
    ),
)
"""Labels and masks of the images, and how images are brought to the target's size."""

search_options = _in_order(
    _search(
        "--budget",
        type=click.IntRange(min=1),
        metavar="N",
        help="Most queries an attack may send, the clean image included. Default: no limit.",
    ),
    _search(
        "--repeats",
        type=click.IntRange(1, 100),
        metavar="N",
        help="Queries for the clean image, and for each success again: one that does not hold each time is"
        " none. Default: 1 for targets known to be deterministic, 3 for others.",
    ),
    _search(
        "--generations",
        type=click.IntRange(1, MAX_GENERATIONS),
        default=100,
        metavar="G",
        show_default=True,
        help="Most generations after the start population.",
    ),
    _search(
        "--population",
        type=click.IntRange(MIN_POPULATION, MAX_POPULATION),
        default=400,
        metavar="P",
        show_default=True,
        help="Candidates a generation.",
    ),
    _search(
        "--seed",
        type=click.IntRange(0, MAX_SEED),
        default=0,
        metavar="S",
        show_default=True,
        help="Same seed, same results.",
    ),
    _search(
        "--search",
        "--strategy",
        "search",
        type=click.Choice([PAPER, *(strategy.value for strategy in Strategy)]),
        default=Strategy.AUTO.value,
        show_default=True,
        help="How candidates are chosen. auto: scan corner colours in a learned order, then refine; few "
        "queries. corner-scan: one pixel, all corner colours, exact when it ends. paper: the paper's "
        "differential evolution (rand1bin). See docs/searches.md.",
    ),
    _search(
        "--region-mode",
        type=click.Choice([mode.value for mode in RegionMode]),
        default=RegionMode.COMPOSITE.value,
        show_default=True,
        help="Changes outside the region are undone (composite) or moved to its nearest pixel (project).",
    ),
    _search(
        "--no-early-stop",
        is_flag=True,
        help="Run all generations even after a success.",
    ),
)
"""The search's parameters and limits."""
