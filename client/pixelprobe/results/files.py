"""Write the images of a campaign as PNG files: a folder for each attacked image, exact pixels in every one.

``NAME/clean.png`` is what was attacked, ``NAME/mask.png`` and ``NAME/mask_overlay.png`` its mask, and each
success leaves ``NAME/TARGET_REGION_Kpx_GOAL.png`` (``clean.png`` with exactly the edits) and the same with
``_enlarged``. Files of these names that an earlier run left in such a folder are removed: they do not belong
to the ``clean.png`` that is written there now.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pixelprobe.inputs.images import save_png
from pixelprobe.inputs.planned import PlannedImage
from pixelprobe.model import Attack, Region, Target
from pixelprobe.results.captions import attack_title, describe_class, how_it_ended
from pixelprobe.results.drawing import overlay, scale_for
from pixelprobe.results.gallery import PANEL_SIDE, apply_edits, attack_figure
from pixelprobe.results.records import AttackFiles, result_of, succeeded
from pixelprobe_services.common.text import file_name

_WRITTEN = re.compile(
    rf"mask\.png|mask_overlay\.png|.+_({'|'.join(Region)})_\d+px_(untargeted|targeted-\d+)(_enlarged)?\.png"
)
"""Names of the files that a run leaves in an image's folder, besides ``clean.png``."""


def image_folders(out: Path, images: Sequence[PlannedImage]) -> list[Path]:
    """A folder of its own for each image, named after its file."""
    return [out / name for name in unique_file_names((planned.display_name for planned in images), "image")]


def unique_file_names(texts: Iterable[str], default: str) -> list[str]:
    """A file name for each text, in order; where several texts give the same, the later ones are numbered."""
    names: list[str] = []
    for text in texts:
        first = name = file_name(text, default)
        number = 1
        while name in names:
            number += 1
            name = f"{first}-{number}"
        names.append(name)
    return names


def write_images(
    out: Path,
    images: Sequence[PlannedImage],
    attacks: Sequence[Attack],
    targets: Mapping[str, Target],
) -> tuple[list[AttackFiles], int]:
    """Write all PNGs of finished attacks; ``image_index`` of each counts in ``images``.

    Returns:
        The files of each attack, in order, and how many files of an earlier run were removed for good.

    Raises:
        OSError: a file cannot be written.
    """
    folders = image_folders(out, images)
    before = {path for folder in folders for path in _written(folder)}
    for path in before:
        path.unlink()
    for planned, folder in zip(images, folders, strict=True):
        save_png(folder / "clean.png", planned.image.pixels)
    names = _target_names(attacks)
    with_mask: set[int] = set()
    files = []
    for attack in attacks:
        folder = folders[attack.image_index]
        clean = images[attack.image_index].image.pixels
        mask = result_of(attack).mask
        if mask is not None and attack.image_index not in with_mask:
            save_png(folder / "mask.png", mask)
            save_png(folder / "mask_overlay.png", overlay(clean, mask, scale_for(clean, PANEL_SIDE)))
            with_mask.add(attack.image_index)
        files.append(
            _write_attack(
                folder, images[attack.image_index], attack, targets[attack.target], names[attack.target]
            )
        )
    return files, sum(not path.exists() for path in before)


def _written(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if _WRITTEN.fullmatch(path.name)] if folder.is_dir() else []


def _target_names(attacks: Sequence[Attack]) -> dict[str, str]:
    targets = list(dict.fromkeys(attack.target for attack in attacks))
    return dict(zip(targets, unique_file_names(targets, "target"), strict=True))


def _write_attack(
    folder: Path, planned: PlannedImage, attack: Attack, target: Target, name: str
) -> AttackFiles:
    """Write the images of one attack; ``name`` stands for the target in the files' names."""
    result = result_of(attack)
    mask_path = folder / "mask.png" if result.mask is not None else None
    if not succeeded(attack):
        return AttackFiles(mask=mask_path)
    goal = "untargeted" if attack.target_class is None else f"targeted-{attack.target_class}"
    stem = f"{name}_{attack.region.value}_{attack.pixels}px_{goal}"
    clean = planned.image.pixels
    figure = attack_figure(
        clean,
        result.edits,
        result.mask,
        title=f"{planned.display_name} · {attack_title(attack, target)}",
        subtitle=how_it_ended(attack),
        before=describe_class(target, result.clean_top[0]),
        after=describe_class(target, result.best_top[0]),
    )
    files = AttackFiles(folder / f"{stem}.png", folder / f"{stem}_enlarged.png", mask_path)
    save_png(folder / f"{stem}.png", apply_edits(clean, result.edits))
    save_png(folder / f"{stem}_enlarged.png", figure)
    return files
