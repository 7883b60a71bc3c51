"""The picture of what writers cost: well formed, complete, and the same for the same days."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from cape.operations.spending import SpentDay
from cape.operations.usage_picture import MOST_DAYS, usage_picture, write_picture

DAYS = (
    SpentDay(day="2026-03-01", writer="big <&>", calls=2, sent=1000, came=200, cost=0.04),
    SpentDay(day="2026-03-01", writer="small", calls=1, sent=500, came=100, cost=0.0),
    SpentDay(day="2026-03-04", writer="small", calls=9, sent=4000, came=900, cost=0.01),
)
_SVG = "{http://www.w3.org/2000/svg}"


def bars(picture: str) -> list[tuple[str, float]]:
    tree = ElementTree.fromstring(picture)
    return [
        (title.text or "", float(rect.attrib["height"]))
        for rect in tree.iter(f"{_SVG}rect")
        for title in rect.iter(f"{_SVG}title")
    ]


def test_each_day_has_a_bar_for_each_writer_as_high_as_what_it_cost() -> None:
    found = bars(usage_picture(DAYS))
    assert [title for title, _ in found[:3]] == [
        "2026-03-01, big <&>: 0.04, 2 calls",
        "2026-03-01, small: 0, 1 calls",
        "2026-03-04, small: 0.01, 9 calls",
    ]
    assert [height for _, height in found[:3]] == [150.0, 0.0, 37.5]
    assert found[5][1] == 150.0, "the fourth of March has most tokens"
    assert usage_picture(DAYS) == usage_picture(DAYS)


def test_no_calls_give_a_picture_that_says_so_and_many_days_the_last_ones() -> None:
    assert bars(usage_picture(())) == []
    assert "none" in usage_picture(())
    years = (
        SpentDay(day="2020-01-01", writer="a", cost=1.0),
        SpentDay(day="2026-01-01", writer="a", cost=1.0),
    )
    assert MOST_DAYS == 90
    assert [title[:10] for title, _ in bars(usage_picture(years))][:1] == ["2026-01-01"]


def test_a_picture_is_written_whole(tmp_path: Path) -> None:
    write_picture(tmp_path / "usage.svg", DAYS)
    assert (tmp_path / "usage.svg").read_text() == usage_picture(DAYS)
