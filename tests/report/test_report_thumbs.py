"""Thumbs: made once by the hash of their picture, whole, on all cores, with a line on stderr."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import thumbs as thumbs_benchmark
from dpgbench.report import ReportOptions, build_report
from dpgbench.report.page.thumbs import THUMB_PX, ThumbCache
from dpgbench.store.images import png_bytes
from tests.report.report_runs import RunMaker


def write(path: Path, number: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png_bytes(Image.effect_mandelbrot((800, 600), (-2, -1, 1, 1), 20 + number)))
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / "images" / f"{n}.png", n) for n in range(6)]


def decoded(address: str) -> Image.Image:
    start = "data:image/webp;base64,"
    assert address.startswith(start)
    return Image.open(io.BytesIO(base64.b64decode(address.removeprefix(start))))


def test_thumbs_are_small_and_made_once(
    pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = ThumbCache(tmp_path / "cache")
    first = cache.thumbs(pictures)
    assert cache.made == 6
    assert "thumbs: 100%" in capsys.readouterr().err
    assert list(first) == pictures
    assert {decoded(address).size for address in first.values()} == {(THUMB_PX, THUMB_PX * 3 // 4)}
    assert ThumbCache(tmp_path / "cache").thumbs(pictures) == first
    again = ThumbCache(tmp_path / "cache")
    assert again.thumbs(pictures) == first
    assert again.made == 0


def test_a_copied_run_has_its_thumbs_and_a_changed_picture_gets_a_new_one(
    pictures: list[Path], tmp_path: Path
) -> None:
    cache = ThumbCache(tmp_path / "cache")
    first = cache.thumbs(pictures)
    copies = [tmp_path / "moved" / path.name for path in pictures]
    copies[0].parent.mkdir()
    for path, copy in zip(pictures, copies, strict=True):
        copy.write_bytes(path.read_bytes())
    assert list(cache.thumbs(copies).values()) == list(first.values())
    assert cache.made == 0
    pictures[0].write_bytes(pictures[1].read_bytes())
    write(pictures[2], 50)
    changed = cache.thumbs(pictures)
    assert cache.made == 1
    assert changed[pictures[0]] == first[pictures[1]]
    assert changed[pictures[2]] != first[pictures[2]]


def test_a_damaged_cache_is_made_anew(pictures: list[Path], tmp_path: Path) -> None:
    cache = ThumbCache(tmp_path / "cache")
    first = cache.thumbs(pictures)
    files = sorted((tmp_path / "cache").glob("*/*/*.webp"))
    assert len(files) == 6
    files[0].write_bytes(files[0].read_bytes()[:100])
    for path in (tmp_path / "cache" / "hashes").iterdir():
        path.write_text("[1, 2")
    assert cache.thumbs(pictures) == first
    assert cache.made == 1
    assert not list((tmp_path / "cache").rglob(".part-*"))


def test_no_picture_and_no_cache_stop_nothing(pictures: list[Path], tmp_path: Path) -> None:
    pictures[0].write_bytes(b"no picture")
    pictures[1].unlink()
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the cache should be")
    thumbs = ThumbCache(blocked).thumbs(pictures)
    assert [bool(address) for address in thumbs.values()] == [False, False, *[True] * 4]


def test_the_oldest_go_first_from_a_full_cache(pictures: list[Path], tmp_path: Path) -> None:
    ThumbCache(tmp_path / "cache").thumbs(pictures[:3])
    sizes = [path.stat().st_size for path in (tmp_path / "cache").glob("*/*/*.webp")]
    ThumbCache(tmp_path / "cache", largest=max(sizes)).thumbs(pictures[3:])
    left = list((tmp_path / "cache").glob("*/*/*.webp"))
    assert sum(path.stat().st_size for path in left) <= max(sizes)


def test_a_report_uses_the_users_cache(
    dpg: RunMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DPGBENCH_CACHE", str(tmp_path / "cache"))
    run = dpg.make("run", images=True)
    first = build_report([run], tmp_path / "out", ReportOptions(embed="thumbs"))[0].read_bytes()
    assert len(list((tmp_path / "cache" / "thumbs").glob("*/*/*.webp"))) == 30
    assert (
        build_report([run], tmp_path / "out", ReportOptions(embed="thumbs"))[0].read_bytes()
        == first
    )


def test_what_thumbs_take_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DPGBENCH_CACHE", "")
    words = [str(tmp_path), "--items", "4", "--tile-px", "64", "--out", str(tmp_path / "out.json")]
    thumbs_benchmark.main(words)
    taken = json.loads((tmp_path / "out.json").read_text())
    assert json.loads(capsys.readouterr().out) == taken
    assert taken["pictures"] == 20
    assert taken["same_page"]
    assert taken["times_faster"] > 0
