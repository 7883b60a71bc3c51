"""`cape evaluate writers`: writers by band of context, over services on loopback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cape.answers.tokens import estimated_tokens
from cape.evaluation.writers import BANDS, WriterCase, hidden_among, score_writers
from tests.end_to_end.harness import USAGE, Project
from tests.end_to_end.test_asking import indexed
from tests.end_to_end.test_phrasing import says
from tests.writers.service import Answer, service

TABLE = """
[writers.big]
api = "chat"
model = "large-2"
endpoint = "{url}/v1"
input-price = 2
output-price = 10
{more}
"""


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return indexed(tmp_path_factory.mktemp("bands"))


@pytest.fixture
def manual(settled: Project, tmp_path: Path) -> Project:
    shutil.copytree(settled.directory, tmp_path / "copy", symlinks=True)
    return Project(directory=tmp_path / "copy", environment=settled.environment)


def measured(project: Project, url: str, *words: str, more: str = "") -> dict[str, Any]:
    with open(project.manifest, "a") as stream:
        stream.write(TABLE.format(url=url, more=more))
    found = json.loads(project.cape("evaluate", "writers", "--json", *words).succeeded().stdout)
    assert isinstance(found, dict)
    return found


def test_each_band_is_asked_and_adherence_is_the_share_of_supported_sentences(manual: Project) -> None:
    everywhere = list(range(1, 400))
    good = ("Olav Brekke inspects every anchor in the first week of May.", everywhere)
    bad = ("Sigrid Aune inspects every anchor on 3 October 2019.", everywhere)
    with service(says(good, bad)) as running:
        found = measured(manual, running.url, "--questions", "1")
        sent = [body["messages"][1]["content"] for _, _, body in running.asked]
    assert [one["band"] for one in found["scores"]] == ["short", "medium", "long"]
    for score, band in zip(found["scores"], BANDS, strict=True):
        assert (score["asked"], score["answered"], score["right"]) == (1, 1, 1)
        assert (score["adherence"], score["failed"]) == (0.5, 0)
        assert score["cost"] == pytest.approx((50 * 2 + 9 * 10) / 1e6)
        assert band.least < band.aim < band.most
    for text, band in zip(sent, BANDS, strict=True):
        assert "inspected by Olav Brekke" in text
        assert 0.8 * band.aim < estimated_tokens(text) < 1.5 * band.aim
    assert found["left_out"] == []


def test_a_writer_is_not_asked_what_its_window_does_not_hold_and_the_budget_holds(manual: Project) -> None:
    with service(says(("Olav Brekke inspects every anchor.", [1]))) as running:
        found = measured(
            manual, running.url, "--questions", "1", more="window = 20_000\n[budget]\nrun = 0.000001"
        )
        assert running.asked == []
    assert [one["what"] for one in found["left_out"]] == ["big, long"]
    assert "reads 20000 tokens" in found["left_out"][0]["why"]
    assert all("may cost" in one["problem"] for one in found["cases"])


def test_a_writer_that_fails_is_counted_and_the_others_go_on(manual: Project) -> None:
    with service(Answer(body="<html>")) as running:
        found = measured(manual, running.url, "--questions", "1", "--band", "short")
    (score,) = found["scores"]
    assert (score["failed"], score["answered"], score["adherence"]) == (1, 0, None)
    shown = manual.cape("evaluate", "writers", "--band", "short", "--questions", "1").succeeded().stdout
    assert shown.splitlines()[0].split() == [
        *("writer", "band", "asked", "answered", "right", "failed", "adherence", "tokens", "in", "out"),
        *("cost", "s"),
    ]


def test_a_band_that_there_is_not_is_a_wrong_use(manual: Project) -> None:
    manual.cape("evaluate", "writers", "--band", "endless").failed(USAGE, "`short`, `medium`, `long`")
    manual.cape("evaluate", "writers", "--questions", "0").failed(USAGE, "`--questions` is a number")


def test_passages_are_hidden_at_their_depth_and_are_the_same_for_a_seed() -> None:
    filler = [f"Line {number} says nothing of it." for number in range(40)]
    short = BANDS[0]
    found = hidden_among(["The needle."], filler, short, seed="a", depth=0.5)
    assert found == hidden_among(["The needle."], filler, short, seed="a", depth=0.5)
    assert found != hidden_among(["The needle."], filler, short, seed="b", depth=0.5)
    assert abs(found.index("The needle.") / len(found) - 0.5) < 0.01
    assert sum(map(estimated_tokens, found)) == pytest.approx(short.aim, rel=0.01)
    assert hidden_among(["The needle."], [], short, seed="a", depth=0.5) == ["The needle."]


def test_a_score_counts_sentences_not_questions() -> None:
    def case(kept: int, dropped: int, cost: float | None) -> WriterCase:
        return WriterCase(
            writer="w", band="short", question="q", kept=kept, dropped=dropped, right=kept > 0,
            tokens_in=100, tokens_out=10, cost=cost, seconds=2.0, problem="" if kept else "junk",
        )  # fmt: skip

    (score,) = score_writers([case(3, 1, 0.5), case(0, 0, None)])
    assert (score.asked, score.answered, score.right, score.failed) == (2, 1, 1, 1)
    assert (score.adherence, score.cost, score.seconds) == (0.75, 0.5, 2.0)
