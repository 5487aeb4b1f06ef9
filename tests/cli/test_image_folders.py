"""Folders of other people's images: every layout, kind and naming is read right, or refused."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dpgbench
from dpgbench.report.page.images import Pictures
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.images import picture_files
from dpgbench.store.run.scores import read_record
from tests.helpers import Run, row, write_csv

JUDGE = "tests.cli.own_judges:MeanColor"
ITEMS = ("a", "b", "c")
PX = 16
COLORS = [(250, 10, 20), (10, 240, 30), (20, 30, 230), (200, 210, 220)]  # of an item's four tiles
_BACK = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Transpose that undoes each


def tile(item: str, number: int) -> Image.Image:
    """A noisy tile whose mean colour the judge knows it by."""
    place = ITEMS.index(item)
    rng = np.random.default_rng(10 * place + number)
    color = np.array(COLORS[(place + number) % 4])
    noise = rng.integers(-9, 10, (PX, PX, 3))
    return Image.fromarray(np.clip(color + noise, 0, 255).astype(np.uint8))


def grid(item: str, rows: int, columns: int) -> Image.Image:
    joined = Image.new("RGB", (columns * PX, rows * PX))
    for number in range(rows * columns):
        place = (number % columns * PX, number // columns * PX)
        joined.paste(tile(item, number), place)
    return joined


def write_bench(tmp_path: Path) -> Path:
    rows = [row(item, qid) for item in ITEMS for qid in (1, 2, 3)]
    return write_csv(tmp_path / "bench.csv", rows)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def deep(image: Image.Image) -> bytes:
    """A greyscale PNG of 16 bits."""
    return encoded(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257))


def turned(image: Image.Image, orientation: int, kind: str = "PNG", **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    back = _BACK[orientation]
    lying = image if back is None else image.transpose(Image.Transpose(back))
    return encoded(lying, kind, exif=exif, **options)


class Folders:
    """Scores folders in a scratch place, each into a run of its own."""

    def __init__(self, run: Run, tmp_path: Path) -> None:
        self.run, self.path, self.number = run, tmp_path, 0
        self.bench = write_bench(tmp_path)

    def write(self, files: dict[str, bytes]) -> Path:
        self.number += 1
        folder = self.path / f"pictures{self.number}"
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder

    def words(self, folder: Path, *words: object) -> list[object]:
        out = self.path / f"r{self.number}"
        options = ["--bench", self.bench, "--judge", JUDGE, "--rule", "corrected-v1"]
        return ["score", folder, *options, "--out", out, *words]

    def score(self, files: dict[str, bytes], *words: object) -> dict[str, Any]:
        """The table of items of a folder that must be scored without a fault."""
        ended = self.run(*self.words(self.write(files), *words))
        assert ended.code == 0, ended.err
        return self.result()

    def result(self) -> dict[str, Any]:
        (path,) = (self.path / f"r{self.number}").glob("scores/*/corrected-v1.items.csv")
        scores = json.loads(path.with_suffix("").with_suffix(".json").read_text())
        return {"items": path.read_text(), "overall": scores["overall"], "scores": scores}


@pytest.fixture
def folders(run: Run, tmp_path: Path) -> Folders:
    return Folders(run, tmp_path)


def test_every_kind_of_file_scores_what_plain_grids_score(folders: Folders) -> None:
    plain = {item: grid(item, 2, 2) for item in ITEMS}
    want = folders.score({f"{item}.png": encoded(image) for item, image in plain.items()})
    assert len(set(want["items"].splitlines()[1:])) == 3
    kinds: dict[str, Any] = {
        "rgba.png": lambda image: encoded(image.convert("RGBA")),
        "webp.webp": lambda image: encoded(image, "WEBP", lossless=True),
        "lossy.WebP": lambda image: encoded(image, "WEBP", quality=95),
        "jpeg.JpEg": lambda image: encoded(image, "JPEG", quality=95),
        "upper.PNG": encoded,
        "palette.png": lambda image: encoded(image.quantize(256)),
        "cmyk.jpg": lambda image: encoded(image.convert("CMYK"), "JPEG", quality=95),
        **{f"exif{n}.png": (lambda image, n=n: turned(image, n)) for n in range(1, 9)},
        "exif6.jpg": lambda image: turned(image, 6, "JPEG", quality=95),
        "exif8.webp": lambda image: turned(image, 8, "WEBP", lossless=True),
    }
    for name, encode in kinds.items():
        suffix = Path(name).suffix
        result = folders.score({f"{i}{suffix}": encode(image) for i, image in plain.items()})
        assert result["items"] == want["items"], name


def test_grey_of_every_depth_scores_alike(folders: Folders) -> None:
    plain = {item: grid(item, 2, 2) for item in ITEMS}
    grey = {item: image.convert("L") for item, image in plain.items()}
    want = folders.score({f"{i}.png": encoded(image.convert("RGB")) for i, image in grey.items()})
    for encode in (encoded, deep, lambda image: encoded(image.convert("LA"))):
        result = folders.score({f"{i}.png": encode(image) for i, image in grey.items()})
        assert result["items"] == want["items"]
    bits = {item: image.convert("1") for item, image in plain.items()}
    black = folders.score({f"{i}.png": encoded(image.convert("RGB")) for i, image in bits.items()})
    result = folders.score({f"{i}.png": encoded(image) for i, image in bits.items()})
    assert result["items"] == black["items"]


@pytest.mark.parametrize("layout", ["1x4", "4x1"])
def test_four_in_a_row_or_column_are_refused_until_they_are_named(
    folders: Folders, layout: str
) -> None:
    want = folders.score({f"{item}.png": encoded(grid(item, 2, 2)) for item in ITEMS})
    assert "each image was taken for 4 tiles of 16x16, 2x2" in want["scores"]["notes"][0]
    rows, columns = map(int, layout.split("x"))
    files = {f"{item}.png": encoded(grid(item, rows, columns)) for item in ITEMS}
    ended = folders.run(*folders.words(folders.write(files)))
    assert ended.code == 3
    assert f": {layout} " in ended.error
    result = folders.score(files, "--layout", layout)
    assert result["items"] == want["items"]
    assert result["scores"]["notes"] == []
    again = folders.run("score", folders.path / f"r{folders.number}", "--judge", JUDGE)
    assert again.code == 0, again.err
    lying = {f"{item}.png": turned(grid(item, rows, columns), 6) for item in ITEMS}
    assert folders.score(lying, "--layout", layout)["items"] == want["items"]
    words = folders.words(folders.write(lying), "--tile-px", PX)
    assert f"({layout} would give tiles near square)" in folders.run(*words).error


@pytest.mark.parametrize("layout", ["1x2", "2x1"])
def test_two_tiles_are_never_cut_in_four(folders: Folders, layout: str) -> None:
    rows, columns = map(int, layout.split("x"))
    files = {f"{item}.png": encoded(grid(item, rows, columns)) for item in ITEMS}
    ended = folders.run(*folders.words(folders.write(files)))
    assert ended.code == 3
    assert layout in ended.error
    other = "2x1" if layout == "1x2" else "1x2"
    assert folders.run(*folders.words(folders.write(files), "--layout", other)).code == 0
    result = folders.score(files, "--layout", layout)
    assert result["scores"]["num_tiles"] == 2
    apart = {f"{i}_{n}.png": encoded(tile(i, n)) for i in ITEMS for n in range(2)}
    assert folders.score(apart, "--pattern", "{item_id}_{tile}.png")["items"] == result["items"]


def test_single_pictures_are_said_to_be_cut_until_they_are_named(folders: Folders) -> None:
    files = {f"{item}.png": encoded(tile(item, 0)) for item in ITEMS}
    ended = folders.run(*folders.words(folders.write(files)))
    assert ended.code == 0
    assert ended.err.count("each image was taken for 4 tiles of 8x8, 2x2 (assumed") == 1
    assert ended.err.index("each image was taken") < ended.err.index("question/s")
    out = folders.path / f"r{folders.number}"
    assert folders.run("score", out, "--judge", JUDGE, "--tile-px", 16).code == 2
    single = folders.score(files, "--layout", "1x1")
    assert single["scores"]["num_tiles"] == 1
    assert folders.score(files, "--num-images", 1)["items"] == single["items"]


def test_layouts_that_cannot_be_are_usage_errors(folders: Folders) -> None:
    folder = folders.write({f"{item}.png": encoded(grid(item, 2, 2)) for item in ITEMS})
    for words, message in (
        (("--layout", "4x4"), "choose ROWSxCOLUMNS"),
        (("--layout", "1x4", "--num-images", 2), "--layout 1x4 has 4 tiles"),
        (("--layout", "2x2", "--pattern", "{item_id}_{tile}.png"), "file of its own"),
        (("--pattern", "{nobody}.png"), "unknown {nobody}"),
        (("--pattern", "pictures.png"), "neither {item_id} nor {index}"),
        (("--pattern", "../{item_id}.png"), "leaves the folder"),
        (("--pattern", "{item_id"), "--pattern {item_id"),
        (("--images", folder), "is for a run whose images moved"),
    ):
        ended = folders.run(*folders.words(folder, *words))
        assert ended.code == 2, words
        assert message in ended.error


def test_wide_tiles_are_scored_where_the_layout_is_said(folders: Folders) -> None:
    files = {f"{i}.png": encoded(Image.new("RGB", (64, 24), "red")) for i in ITEMS}
    assert folders.run(*folders.words(folders.write(files))).code == 3
    folders.score(files, "--layout", "2x2")
    again = folders.run("score", folders.path / f"r{folders.number}", "--judge", JUDGE)
    assert again.code == 0
    wide = {f"{i}.png": encoded(Image.new("RGB", (64, 36), "red")) for i in ITEMS}
    folders.score(wide)


def test_other_formats_under_png_are_refused_by_name(folders: Folders) -> None:
    files = {f"{item}.png": encoded(grid(item, 2, 2)) for item in ITEMS}
    frames = [grid("b", 2, 2), grid("c", 2, 2)]
    for data, message in (
        (encoded(frames[0], "GIF"), "not PNG, JPEG or WebP but GIF"),
        (encoded(frames[0], "TIFF"), "not PNG, JPEG or WebP but TIFF"),
        (encoded(frames[0], "EPS"), "not PNG, JPEG or WebP but EPS"),
        (encoded(frames[0], save_all=True, append_images=frames[1:]), "animated (2 frames)"),
        (files["b.png"][:300], "truncated"),
    ):
        ended = folders.run(*folders.words(folders.write({**files, "b.png": data})))
        assert ended.code == 6
        assert "item b: image b.png cannot be read: " in ended.err
        assert message in folders.result()["scores"]["failures"]["b"]
        ended = folders.run(*folders.words(folders.write(dict.fromkeys(files, data))))
        if message != "truncated":
            assert ended.code == 3
            assert "none of 3 images can be read, first: image a.png cannot" in ended.error
            assert message in ended.error


def test_two_files_of_one_item_are_refused(folders: Folders) -> None:
    data = encoded(grid("a", 2, 2))
    for other in ("a.PNG", "a.jpg", "a.WEBP"):
        files = {f"{item}.png": encoded(grid(item, 2, 2)) for item in ITEMS} | {other: data}
        ended = folders.run(*folders.words(folders.write(files)))
        assert ended.code == 3
        assert "a.png" in ended.error
        assert other in ended.error
        assert "keep one image of a" in ended.error


def test_images_of_another_size_fail_alone_and_are_all_named(folders: Folders) -> None:
    files = {f"{item}.png": encoded(grid(item, 2, 2)) for item in ITEMS}
    files["b.png"] = encoded(Image.new("RGB", (34, 34)))
    files["c.png"] = encoded(Image.new("RGB", (34, 36)))
    files["a.png"] = encoded(grid("a", 2, 2).resize((32, 32)))
    ended = folders.run(*folders.words(folders.write(files), "--tile-px", 16))
    assert ended.code == 6
    assert "2 of 3 images have another size: b.png 34x34, c.png 34x36; expected 32x32" in ended.err
    scores = folders.result()["scores"]
    assert scores["items_scored"] == 1
    assert "34x36 px; expected 32x32" in scores["failures"]["c"]
    ended = folders.run(*folders.words(folders.write(files), "--tile-px", 32))
    assert ended.code == 3


PATTERNS = [
    "{item_id}_{tile}.png",
    "{item_id}/samples/{tile:04d}.png",
    "{index:05d}/samples/{tile:04d}.png",
    "{item_id}/{tile1:03d}.png",
    "{index1}_{tile1}.png",
    "samples/{item_id}.png",
    "{index}.png",
    "{index1:04d}.png",
]


@pytest.mark.parametrize("text", PATTERNS)
def test_pictures_by_a_pattern_score_what_grids_score(folders: Folders, text: str) -> None:
    want = folders.score({f"{item}.png": encoded(grid(item, 2, 2)) for item in ITEMS})
    files = {}
    for index, item in enumerate(ITEMS):
        for number in range(4 if "tile" in text else 1):
            numbers = {"index": index, "index1": index + 1, "tile": number, "tile1": number + 1}
            image = tile(item, number) if "tile" in text else grid(item, 2, 2)
            files[text.format(item_id=item, **numbers)] = encoded(image)
    folder = folders.write(files)
    ended = folders.run(*folders.words(folder))
    assert ended.code == 3
    nested = text.startswith("samples")
    assert (f"did you mean {folder / 'samples'}?" if nested else f"'{text}'") in ended.error
    ended = folders.run(*folders.words(folder, "--pattern", text))
    assert ended.code == 0, ended.err
    assert folders.result()["items"] == want["items"]
    out = folders.path / f"r{folders.number}"
    log = [json.loads(line) for line in (out / "images.jsonl").read_text().splitlines()]
    assert [name for record in log for name in record["files"]] == sorted(files)
    assert folders.run("score", out, "--judge", JUDGE).code == 0
    assert folders.run("score", out, "--judge", JUDGE, "--pattern", "{item_id}.png").code == 2
    other = folders.run(*folders.words(folder, "--pattern", "{item_id}x.png"))
    assert other.code in (3, 5)
    changed = next(iter(sorted(files)))
    (folder / changed).write_bytes(encoded(Image.new("RGB", (PX, PX))))
    ended = folders.run("score", out, "--judge", JUDGE)
    assert ended.code == 5
    assert "other images of a " in ended.error


def test_the_report_shows_tiles_that_are_files_of_their_own(folders: Folders) -> None:
    tile = encoded(grid("a", 1, 1))
    files = {f"{item}_{n}.png": tile for item in ITEMS for n in range(2)}
    folders.score(files, "--pattern", "{item_id}_{tile}.png", "--num-images", "2")
    record = read_record(RunDir(folders.path / f"r{folders.number}"))
    addresses = Pictures(folders.path).of(record, ITEMS)
    name = f"pictures{folders.number}"
    assert addresses.other == {
        n: [f"{name}/{i}_{t}.png" for t in (0, 1)] for n, i in enumerate(ITEMS)
    }
    assert addresses.none == ()
    small = Pictures.embedded(folders.path, [(record, ITEMS)]).of(record, ITEMS)
    assert all(address.startswith("data:") for tiles in small.other.values() for address in tiles)


def test_the_report_shows_pictures_found_by_a_pattern(folders: Folders) -> None:
    files = {f"{n}/grid.png": encoded(grid(item, 2, 2)) for n, item in enumerate(ITEMS)}
    folders.score(files, "--pattern", "{index}/grid.png")
    out = folders.path / f"r{folders.number}"
    record = read_record(RunDir(out))
    paths = picture_files(record, ITEMS)
    assert [path.parent.name for path in paths.values()] == ["0", "1", "2"]
    addresses = Pictures(folders.path).of(record, ITEMS)
    shown = [addresses.other.get(n, addresses.base + f"{i}.png") for n, i in enumerate(ITEMS)]
    assert shown == [f"pictures1/{n}/grid.png" for n in range(3)]


def test_files_that_count_from_another_number_are_refused(folders: Folders) -> None:
    zero = {f"{i}_{n}.png": encoded(tile(i, n)) for i in ITEMS for n in range(4)}
    one = {f"{i}_{n + 1}.png": encoded(tile(i, n)) for i in ITEMS for n in range(4)}
    index = {f"{n}.png": encoded(grid(i, 2, 2)) for n, i in enumerate(ITEMS)}
    index1 = {f"{n}.png": encoded(grid(i, 2, 2)) for n, i in enumerate(ITEMS, 1)}
    for files, wrong, right in (
        (one, "{item_id}_{tile}.png", "{item_id}_{tile1}.png"),
        (zero, "{item_id}_{tile1}.png", "{item_id}_{tile}.png"),
        (index1, "{index}.png", "{index1}.png"),
        (index, "{index1}.png", "{index}.png"),
    ):
        ended = folders.run(*folders.words(folders.write(files), "--pattern", wrong))
        assert ended.code == 3
        assert f"give --pattern '{right}'" in ended.error


def test_an_item_that_lacks_a_tile_fails_alone(folders: Folders) -> None:
    files = {f"{i}_{n}.PNG": encoded(tile(i, n)) for i in ITEMS for n in range(4)}
    del files["b_2.PNG"]
    folder = folders.write(files)
    ended = folders.run(*folders.words(folder, "--pattern", "{item_id}_{tile}"))
    assert ended.code == 6
    scores = folders.result()["scores"]
    assert scores["failures"] == {"b": "image b_2 is missing"}
    assert scores["num_tiles"] == 4


def test_a_broken_image_is_mended_and_the_run_goes_on(folders: Folders) -> None:
    files = {f"{item}.png": encoded(grid(item, 2, 2)) for item in ITEMS}
    folder = folders.write({**files, "b.png": files["b.png"][:200]})
    ended = folders.run(*folders.words(folder))
    assert ended.code == 6
    assert folders.result()["scores"]["failed_items"] == ["b"]
    (folder / "b.png").write_bytes(files["b.png"])
    assert folders.run(*folders.words(folder)).code == 0
    (folder / "b.png").write_bytes(files["a.png"])
    ended = folders.run(*folders.words(folder))
    assert ended.code == 5
    assert "1 image changed" in ended.error


def test_a_published_run_needs_no_images(folders: Folders) -> None:
    files = {f"{item}.png": encoded(grid(item, 2, 2)) for item in ITEMS}
    folders.score(files)
    folder, out = folders.path / "pictures1", folders.path / "r1"
    moved = folders.path / "moved"
    folder.rename(moved)
    words = ["score", out, "--judge", JUDGE, "--rule"]
    assert folders.run(*words, "ella-reference").code == 0
    (answers,) = (out / "answers").glob("*.jsonl")
    lines = answers.read_text().splitlines(keepends=True)
    answers.write_text("".join(line for line in lines if '"item_id": "b"' not in line))
    assert len(answers.read_text().splitlines()) < len(lines)
    ended = folders.run(*words, "corrected-v1")
    assert ended.code == 6
    assert f"its image is not in {folder}" in ended.err
    assert "--images" in ended.err
    folder.mkdir()
    assert folders.run(*words, "corrected-v1").code == 6
    ended = folders.run(*words, "corrected-v1", "--images", moved)
    assert ended.code == 0, ended.err
    assert sorted(answers.read_text().splitlines(keepends=True)) == sorted(lines)
    assert json.loads((out / "manifest.json").read_text())["generation"]["folder"] == str(moved)
    (moved / "a.png").write_bytes(files["b.png"])
    ended = folders.run(*words, "corrected-v1", "--images", moved)
    assert ended.code == 5
    assert folders.run(*words, "corrected-v1", "--images", moved / "gone").code == 3


def test_grids_that_were_swapped_in_a_generated_run_are_noticed(run: Run, tmp_path: Path) -> None:
    bench = write_bench(tmp_path)
    words = ["generate", "--model", "tests.cli.own_judges:Noise", "--bench", bench, "--out", "r"]
    assert run(*words).code == 0
    first, second = tmp_path / "r/images/a.png", tmp_path / "r/images/b.png"
    scoring = ["score", "r", "--judge", JUDGE]
    assert run(*scoring).code == 0
    kept = first.read_bytes()
    shutil.copy(second, first)
    ended = run(*scoring)
    assert ended.code == 5
    assert "other images of a than" in ended.error
    (tmp_path / "r/images").rename(tmp_path / "elsewhere")
    assert run(*scoring).code == 0  # answers are enough
    assert run(*scoring, "--images", "elsewhere").code == 5
    (tmp_path / "elsewhere").rename(tmp_path / "r/images")
    assert run(*scoring, "--no-verify").code == 0
    (path,) = (tmp_path / "r/scores").glob("*/corrected-v1.json")
    assert any("--no-verify" in note for note in json.loads(path.read_text())["notes"])
    first.write_bytes(kept)
    assert run(*scoring).code == 0
    assert json.loads(path.read_text())["notes"] == []


def test_tiles_of_one_colour_are_counted(folders: Folders) -> None:
    files = {f"{item}.png": encoded(grid(item, 2, 2)) for item in ITEMS}
    spoilt = grid("b", 2, 2)
    spoilt.paste((0, 0, 0), (PX, 0, 2 * PX, 2 * PX))
    ended = folders.run(*folders.words(folders.write({**files, "b.png": encoded(spoilt)})))
    assert ended.code == 0
    assert "2 tiles of 1 item are of one single colour (first: tile 1 of b)" in ended.err
    assert folders.result()["scores"]["warnings"]["single_colour_tiles"] == 2
    out = folders.path / f"r{folders.number}"
    assert folders.run("score", out, "--judge", JUDGE).code == 0
    assert folders.result()["scores"]["warnings"]["single_colour_tiles"] == 2
    assert "single_colour_tiles" not in folders.score(files)["scores"]["warnings"]


def test_python_takes_the_same_options(folders: Folders) -> None:
    files = {f"{i}_{n}.png": encoded(tile(i, n)) for i in ITEMS for n in range(4)}
    folder = folders.write(files)
    scored = dpgbench.score(
        folder,
        bench=str(folders.bench),
        judge=JUDGE,
        rules=["corrected-v1"],
        pattern="{item_id}_{tile}.png",
        out=folders.path / "p",
    )
    grids = {f"{i}.png": encoded(grid(i, 1, 4)) for i in ITEMS}
    other = dpgbench.score(
        folders.write(grids),
        bench=str(folders.bench),
        judge=JUDGE,
        rules=["corrected-v1"],
        layout="1x4",
        out=folders.path / "q",
    )
    assert scored.results[0].overall == other.results[0].overall
