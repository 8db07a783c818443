"""Figures: pixels are exact and crisp, rings surround and never cover, text fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pixelprobe.inputs.images import InputImage, load_image, load_mask
from pixelprobe.inputs.planned import PlannedImage
from pixelprobe.model import Attack, Edit, Outcome, Region
from pixelprobe.results.captions import describe_class, how_it_ended, percent
from pixelprobe.results.drawing import RING_DARK, RING_LIGHT, enlarge, fit, overlay, ring, text_width
from pixelprobe.results.files import image_folders, write_images
from pixelprobe.results.gallery import CELL_SIDE, Cell, apply_edits, attack_figure, clean_cell
from pixelprobe.results.records import result_of
from pixelprobe.results.sheet import campaign_sheet
from tests.unit.client.values import OTHER, TARGET, make_attack, make_result

CLEAN = np.random.default_rng(3).integers(0, 256, (6, 8, 3), dtype=np.uint8)
EDITS = (Edit(7, 5, 1, 2, 3), Edit(0, 0, 255, 0, 255))
MASK = np.zeros((6, 8), np.bool_)
MASK[1:4, 2:6] = True


def planned(name: str = "a", label: int | None = 0) -> PlannedImage:
    return PlannedImage(InputImage(Path(f"{name}.png"), CLEAN), label)


def test_edits_change_exactly_their_pixels() -> None:
    changed = apply_edits(CLEAN, EDITS)
    different = {(int(x), int(y)) for y, x in np.argwhere((changed != CLEAN).any(axis=2))}
    assert different == {(7, 5), (0, 0)}
    assert changed[5, 7].tolist() == [1, 2, 3]
    assert changed[0, 0].tolist() == [255, 0, 255]


def test_enlarging_is_crisp() -> None:
    big = np.asarray(enlarge(CLEAN, 7))
    assert big.shape == (42, 56, 3)
    np.testing.assert_array_equal(big[3::7, 3::7], CLEAN)
    np.testing.assert_array_equal(big[::7, ::7], CLEAN)


@pytest.mark.parametrize("ground", [0, 128, 255])
@pytest.mark.parametrize("scale", [1, 2, 4, 14])
def test_rings_show_on_any_ground_and_keep_the_pixel(ground: int, scale: int) -> None:
    canvas = Image.new("RGB", (40 * scale, 40 * scale), (ground, ground, ground))
    before = np.asarray(canvas).astype(int)
    ring(canvas, [Edit(20, 18, 1, 2, 3)], scale)
    after = np.asarray(canvas).astype(int)
    square = np.s_[18 * scale : 19 * scale, 20 * scale : 21 * scale]
    np.testing.assert_array_equal(after[square], before[square])
    assert (np.abs(after - before).max(axis=2) > 80).sum() >= 12
    for colour in (RING_DARK, RING_LIGHT):
        assert (np.abs(after - np.array(colour)).max(axis=2) < 60).any()
    ys, xs = np.nonzero((after != before).any(axis=2))
    centre = (ys.min() + ys.max() + 1) / 2, (xs.min() + xs.max() + 1) / 2
    assert centre == (18.5 * scale, 20.5 * scale)


def test_overlays_keep_the_foreground_and_dim_the_rest() -> None:
    drawn = np.asarray(overlay(CLEAN, MASK, 20)).astype(int)
    centres = drawn[10::20, 10::20]
    np.testing.assert_array_equal(centres[MASK], CLEAN[MASK])
    assert (centres[~MASK].sum(axis=1) < 0.5 * CLEAN[~MASK].sum(axis=1) + 3).all()


def test_an_overlay_of_an_empty_or_full_mask_is_drawn() -> None:
    for full in (False, True):
        drawn = overlay(CLEAN, np.full((6, 8), full), 4)
        assert drawn.size == (32, 24)


def test_text_is_cut_to_its_room_and_odd_scripts_do_no_harm() -> None:
    long = "a very long name → with an arrow, and more"
    cut = fit(long, 14, 90)
    assert text_width(cut, 14) <= 90
    assert cut.endswith("…")
    assert fit("short", 14, 90) == "short"
    assert text_width("пиксель é", 14) > 0


def test_an_attack_figure_holds_the_enlarged_adversarial_image() -> None:
    figure = attack_figure(CLEAN, EDITS, MASK, title="t", subtitle="s", before="cat 75%", after="dog 50%")
    pixels = np.asarray(figure)
    scale = 448 // 8
    for edit in EDITS:
        colour = np.array([edit.red, edit.green, edit.blue])
        assert ((pixels == colour).all(axis=2)).sum() >= scale * scale


def test_files_of_a_success(tmp_path: Path) -> None:
    attack = make_attack(make_result(edits=EDITS, mask=MASK), region=Region.WHOLE)
    (files,), _ = write_images(tmp_path, [planned()], [attack], {"net": TARGET})
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == [
        "clean.png",
        "mask.png",
        "mask_overlay.png",
        "net_whole_1px_untargeted.png",
        "net_whole_1px_untargeted_enlarged.png",
    ]
    assert files.adversarial is not None
    assert files.mask is not None
    np.testing.assert_array_equal(load_image(tmp_path / "a" / "clean.png").pixels, CLEAN)
    np.testing.assert_array_equal(load_image(files.adversarial).pixels, apply_edits(CLEAN, EDITS))
    np.testing.assert_array_equal(load_mask(files.mask), MASK)


def test_a_failure_leaves_no_adversarial_image(tmp_path: Path) -> None:
    (files,), _ = write_images(
        tmp_path, [planned()], [make_attack(make_result(Outcome.FAILURE))], {"net": TARGET}
    )
    assert files.adversarial is None
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["clean.png"]


def test_a_second_run_leaves_nothing_of_the_first_beside_its_clean_image(tmp_path: Path) -> None:
    first = [make_attack(make_result(edits=EDITS, mask=MASK), region=Region.FOREGROUND)]
    write_images(tmp_path, [planned()], first, {"net": TARGET})
    (tmp_path / "a" / "mine.png").write_bytes(b"a person's own")
    write_images(tmp_path, [planned("b")], first, {"net": TARGET})
    second = [make_attack(make_result(edits=EDITS[:1]))]
    _, removed = write_images(tmp_path, [planned()], second, {"net": TARGET})
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "clean.png", "mine.png", "net_whole_1px_untargeted.png", "net_whole_1px_untargeted_enlarged.png",
    ]  # fmt: skip
    assert removed == 4  # mask, overlay, adversarial image, enlarged
    assert (tmp_path / "b" / "net_foreground_1px_untargeted.png").exists()
    assert write_images(tmp_path, [planned()], second, {"net": TARGET})[1] == 0  # the same again


def test_images_of_one_name_get_folders_of_their_own(tmp_path: Path) -> None:
    folders = image_folders(tmp_path, [planned("x/a"), planned("y/a"), planned("a b/../.."), planned("…")])
    assert len(set(folders)) == 4
    assert all(folder.parent == tmp_path for folder in folders)


def every_kind_of_attack() -> list[Attack]:
    outcomes = [
        make_result(edits=EDITS, mask=MASK),
        make_result(Outcome.FAILURE),
        make_result(Outcome.NOT_APPLICABLE, reason="the mask is empty", best_top=(), edits=()),
        make_result(Outcome.ERROR, reason="gone", clean_top=(), best_top=(), edits=()),
    ]
    return [
        make_attack(result, number, target, region)
        for number, (result, target, region) in enumerate(
            zip(
                outcomes,
                ("net", "net", "other", "other"),
                (Region.WHOLE, Region.FOREGROUND, Region.WHOLE, Region.FOREGROUND),
                strict=True,
            )
        )
    ]


def test_a_contact_sheet_has_a_cell_for_every_column(tmp_path: Path) -> None:
    attacks = every_kind_of_attack()
    sheet = campaign_sheet("title", [planned(), planned("b", None)], attacks, [TARGET, OTHER])
    assert sheet.width > 6 * CELL_SIDE
    assert sheet.height > 2 * CELL_SIDE
    pixels = np.asarray(sheet)
    # The one success is there, edits and all, at the cell's scale.
    scale = CELL_SIDE // 8
    assert ((pixels == np.array([255, 0, 255])).all(axis=2)).sum() >= scale * scale


def test_a_image_of_unknown_class_says_what_its_one_target_takes_it_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    below: list[tuple[str, str]] = []

    def cell(pixels: np.ndarray, headline: str, detail: str = "") -> Cell:
        below.append((headline, detail))
        return clean_cell(pixels, headline, detail)

    monkeypatch.setattr("pixelprobe.results.sheet.clean_cell", cell)
    attacks = [make_attack(make_result())]
    clean = result_of(attacks[0]).clean_top[0]

    for targets in ([TARGET], [TARGET, OTHER]):
        campaign_sheet("title", [planned("b", None)], attacks, targets)

    assert below == [("b", describe_class(TARGET, clean)), ("b", "")]


def test_the_pen_draws_arrows_that_the_font_lacks() -> None:
    from pixelprobe.results.drawing import write

    blank = Image.new("RGB", (200, 30), "white")
    write(ImageDraw.Draw(blank), (2, 2), "→", 20)
    assert (np.asarray(blank) < 100).any()


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0.554, "55%"), (1.0, "100%"), (0.0, "0%"), (0.9996, "99.96%"), (0.99999, "99.9990%"), (0.003, "0.30%")],
)
def test_percents_never_round_to_certainty(probability: float, text: str) -> None:
    assert percent(probability) == text


def test_how_an_attack_ended_in_words() -> None:
    assert how_it_ended(make_attack(make_result())) == "success: 42 queries sent, 1 generation"
    empty = make_result(Outcome.NOT_APPLICABLE, reason="the mask is empty")
    assert how_it_ended(make_attack(empty)) == "not applicable: the mask is empty"
