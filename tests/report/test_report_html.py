"""The page: true, self-contained, safe with anybody's text, the same bytes each time."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from dpgbench.report import ReportOptions, build_report
from dpgbench.report.text import PUBLISHED_ELSEWHERE, PUBLISHED_WARNING
from dpgbench.store.run.directory import RunDir
from tests.report.report_page import Page
from tests.report.report_runs import maker


@pytest.fixture(scope="module")
def page(pair: list[RunDir], tmp_path_factory: pytest.TempPathFactory) -> Page:
    out = pair[0].path.parent.parent / "report"
    return Page(build_report(pair, out)[0])


def test_the_page_is_well_formed(page: Page) -> None:
    assert page.stack == []
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"] for attrs in page.all("a") if (attrs["href"] or "").startswith("#")]
    assert {link[1:] for link in links if link} <= set(ids)


def test_nothing_is_fetched_from_elsewhere(page: Page) -> None:
    fetching = {"src", "srcset", "data", "poster", "action", "formaction", "background", "style"}
    for tag, attrs in page.elements:
        for name, value in attrs.items():
            if name in fetching or (name == "href" and tag != "a"):
                assert tag == "img", f"<{tag} {name}>"
                assert value is not None
                assert not re.match(r"[a-z]+:|//", value)
            assert not name.startswith("on")
    assert not page.all("link")
    assert not page.all("iframe")
    assert all("src" not in attrs for attrs in page.all("script"))
    assert "url(" not in page.source
    assert "@import" not in page.source


def test_everything_can_be_read_without_scripts(page: Page) -> None:
    """What is hidden is what scripts fill; pictures and finer categories stand for it."""
    hidden = [attrs for tag, attrs in page.elements if "hidden" in attrs and tag == "section"]
    assert [attrs["id"] for attrs in hidden] == ["failures", "items", "compare", "judges"]
    assert not page.all("button")
    assert not page.all("input")
    assert len(page.texts["noscript"]) == 3  # finer categories of two tables, the gallery
    assert "svg" not in page.texts["noscript"][2]


def test_links_out_are_sources_that_a_reader_clicks(page: Page) -> None:
    inside = [attrs for attrs in page.all("a") if "download" in attrs]
    assert [attrs["download"] for attrs in inside] == ["leaderboard.csv", "leaderboard.json"]
    assert all((attrs["href"] or "").startswith("data:") for attrs in inside)
    links = [attrs for attrs in page.all("a") if "download" not in attrs]
    out = [attrs for attrs in links if re.match(r"[a-z]+:|//", attrs["href"] or "")]
    assert out
    for attrs in out:
        assert (attrs["href"] or "").startswith("https://")
        assert attrs["rel"] == "noreferrer noopener"


def test_the_policy_allows_this_style_and_these_scripts_only(page: Page) -> None:
    metas = page.all("meta")
    policy = next(m["content"] for m in metas if "http-equiv" in m) or ""
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    scripts = page.texts["script"]
    data, script = scripts
    assert json.loads(data)["sets"]
    for text in (*page.texts["style"], script):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert len(page.texts["style"]) == 1
    assert policy.split("script-src")[1].split(";")[0].count("sha256") == 1


def test_figures_are_those_of_the_score_files(pair: list[RunDir], page: Page) -> None:
    values = {attrs.get("data-value") for attrs in page.all("td")}
    for run in pair:
        for path in run.score_files():
            file = json.loads(path.read_text())
            low, high = file["interval"]
            assert f"{file['overall']:.2f}[{low:.1f}, {high:.1f}]" in page.text.replace(" [", "[")
            assert str(file["overall"]) in values
            for level in ("l1", "l2", "sources"):
                for entry in file[level].values():
                    low, high = entry["interval"]
                    assert f"{entry['score']:.2f} [{low:.1f}, {high:.1f}]" in page.text


def test_judge_rule_coverage_and_notes_are_told(page: Page) -> None:
    assert "what the benchmark means to measure" in page.text
    assert "the ELLA authors' script" in page.text
    assert "judge fake" in page.text
    assert "untrained: scores mean nothing" in page.text
    assert "⚠ 96.7% 29 of 30" in page.text  # the first item is lost under ella-reference
    assert "all items scored" in page.text
    assert "notice" in [attrs.get("class") for attrs in page.all("ul")]


def test_tables_tell_what_they_are(page: Page) -> None:
    assert len(page.texts["caption"]) == len(page.all("table"))
    assert all(text.strip() for text in page.texts["caption"])
    assert all(attrs.get("scope") in ("row", "col") for attrs in page.all("th"))


def test_published_scores_stand_apart_and_unranked(page: Page) -> None:
    before, _, after = page.source.partition('<section id="published"')
    published, _, _ = after.partition("</section>")
    assert "DALL-E 3" in published
    assert "DALL-E 3" not in before
    assert PUBLISHED_WARNING in page.text
    assert PUBLISHED_ELSEWHERE not in page.text
    assert "Rank" not in published
    assert published.count("<tr data-text") > 100


def test_published_scores_can_be_left_out(pair: list[RunDir], tmp_path: Path) -> None:
    page = Page(build_report(pair, tmp_path, ReportOptions(published=False))[0])
    assert "DALL-E 3" not in page.source


def test_published_scores_are_folded_away_from_other_benchmarks(tmp_path: Path) -> None:
    runs = [maker(tmp_path, name="shapes").make("run")]
    page = Page(build_report(runs, tmp_path / "out")[0])
    assert PUBLISHED_ELSEWHERE in page.text
    published = page.source.partition('<section id="published"')[2]
    assert '<details class="more"><summary>' in published


def test_pictures_are_linked_relatively_and_lazily(pair: list[RunDir], page: Page) -> None:
    images = page.all("img")
    assert len(images) == 24  # 12 items of 2 runs
    folder = pair[0].path.parent.parent / "report"
    for attrs in images:
        assert (folder / unquote(attrs["src"] or "")).is_file()
        assert (attrs["width"], attrs["height"], attrs["loading"]) == ("16", "16", "lazy")
        assert attrs["alt"]


def test_the_gallery_tells_what_failed(page: Page) -> None:
    assert 'A purple cube, "None" number 0' in page.text
    assert "Is the cube purple?" in page.text
    assert "fails on image 1 and" in page.text.replace("images", "image")


def test_a_report_elsewhere_still_finds_the_pictures(pair: list[RunDir], tmp_path: Path) -> None:
    page = Page(build_report(pair, tmp_path / "deep" / "er")[0])
    for attrs in page.all("img"):
        assert (tmp_path / "deep" / "er" / unquote(attrs["src"] or "")).resolve().is_file()


def test_the_same_runs_give_the_same_bytes(pair: list[RunDir], tmp_path: Path) -> None:
    first = [path.read_bytes() for path in build_report(pair, tmp_path / "one")]
    second = [path.read_bytes() for path in build_report(pair, tmp_path / "two")]
    assert first == second
