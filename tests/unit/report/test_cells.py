from __future__ import annotations

import pytest

from pixelprobe.report.page.cells import Cell, Column, Table, fixed, ours, p_value, paper


@pytest.mark.parametrize(
    ("value", "digits", "written"),
    [(12.75, 1, "12.8"), (-0.04, 1, "0.0"), (-12.4, 1, "−12.4"), (99.96, 1, "100.0"), (3, 2, "3.00")],
)
def test_numbers_are_rounded_and_never_minus_zero(value: float, digits: int, written: str) -> None:
    assert fixed(value, digits) == written


def test_ours_has_its_interval_and_denominator() -> None:
    assert ours(12.75, 9.96, 15.5, 500) == Cell("12.8", "12.75", ("10.0 to 15.5", "n 500"), "ours")
    assert ours(None, None, None, 0) == Cell("–", "", ("n 0",), "ours")
    assert ours(5.0, None, None, 1).details == ("n 1",)


def test_papers_keep_their_digits() -> None:
    assert [paper(value, None).text for value in (47.0, 12.8, 74.01, -3.5)] == [
        "47.0",
        "12.8",
        "74.01",
        "−3.5",
    ]


@pytest.mark.parametrize(
    ("value", "told"), [(0.0004, "< 0.001"), (0.001, "0.001"), (0.04951, "0.050"), (1.0, "1.000")]
)
def test_p_values(value: float, told: str) -> None:
    assert p_value(value).text == told


def test_columns_under_one_heading_share_it() -> None:
    columns = (
        Column("Model"),
        Column("ours", "whole", "whole"),
        Column("paper", "whole", "whole"),
        Column("p"),
    )
    assert Table("", columns, ()).groups == [("", "", 1), ("whole", "whole", 2), ("", "", 1)]
    assert Table("", (Column("Model"), Column("p")), ()).groups == []
