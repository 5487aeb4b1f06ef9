"""Data as people have it: layouts, index, captions, filters, mixtures, order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from ella import TrainConfig, TrainingDataError
from ella.data import __main__ as data_command
from ella.data.captions import CaptionColumns, cut_at_sentence
from ella.data.conditions import parse_conditions
from ella.data.index import Index, build_index, default_folder
from ella.data.order import CYCLE, MixedOrder, PermutedOrder, WindowedOrder
from ella.data.pairs import DataSource, IndexedPairs
from ella.data.pictures import Buckets, Shape, cut
from ella.data.selection import Selection
from ella.training.batches import Samples, StepPlan
from tests.ella.data_layouts import LAYOUTS, add, as_captions, as_csv, as_tars, caption, picture
from tests.helpers import REPOSITORY


def opened(folder, cache=None, **others):
    return IndexedPairs.open([DataSource(folder)], cache or folder.parent / "cache", **others)


def rows_of(pairs):
    return [
        (pairs.text(n), pairs.image(n).tobytes(), pairs.size(n), pairs.image_key(n))
        for n in range(len(pairs))
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_says_the_same(tmp_path, layout):
    LAYOUTS[layout](tmp_path / "data", 24)
    pairs = opened(tmp_path / "data", tmp_path / "cache")
    assert [pairs.text(n) for n in range(len(pairs))] == [caption(n) for n in range(24)]
    LAYOUTS["captions"](tmp_path / "plain", 24)
    assert rows_of(pairs) == rows_of(opened(tmp_path / "plain"))
    assert pairs.size(0) == Shape(64, 80)


def test_files_instead_of_folders(tmp_path):
    as_tars(tmp_path, 8)
    as_captions(tmp_path, 4)
    assert len(opened(tmp_path / "captions.jsonl")) == 4
    assert len(opened(tmp_path / "00000.tar")) == 8


def test_the_command_indexes_once_and_goes_on(tmp_path, capsys):
    as_tars(tmp_path, 40, per_shard=10)
    assert data_command.main(["index", str(tmp_path), "--workers", "2"]) == 0
    said = capsys.readouterr().out
    assert "40 pictures (tar)" in said
    assert "numbers: height, width" in said
    folder = default_folder(tmp_path)
    parts = {path: path.stat().st_mtime_ns for path in folder.glob("*.part-index")}
    assert len(parts) == 4
    as_tars(tmp_path / "more", 10)
    assert data_command.main(["index", str(tmp_path)]) == 0
    assert all(path.stat().st_mtime_ns == made for path, made in parts.items())
    assert len(Index(folder).parts) == 5
    pairs = opened(tmp_path)
    assert len(pairs) == 50
    (tmp_path / "00001.tar").write_bytes(b"other")
    with pytest.raises(TrainingDataError, match=r"00001\.tar: has changed since it was indexed"):
        opened(tmp_path)


KILLED = """
import sys, time
from pathlib import Path
from ella.data import index, readers
real = readers.read_piece
def slow(root, piece):
    for row in real(root, piece):
        time.sleep(0.02)
        yield row
index.read_piece = slow
index.build_index(Path(sys.argv[1]), index.default_folder(Path(sys.argv[1])))
"""


def test_a_killed_index_goes_on_and_leaves_nothing(tmp_path):
    as_tars(tmp_path, 60, per_shard=10)
    folder = default_folder(tmp_path)
    for wanted in (1, 3):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], cwd=REPOSITORY)
        until = time.monotonic() + 30
        while len(list(folder.glob("*.part-index"))) < wanted and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not (folder / "index.json").exists()
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.part-index")}
    assert len(before) >= 3
    index = build_index(tmp_path, folder)
    assert index.num_rows == 60
    assert all(path.stat().st_mtime_ns == made for path, made in before.items())
    names = {path.name for path in folder.iterdir()}
    assert names == {"index.json", *(part.name for part in index.parts)}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.txt", b"", "needs one of captions.csv and captions.jsonl, or metadata.jsonl, tar"),
        ("captions.csv", b"file,text\n", "lists no picture"),
        ("captions.csv", b"name,text\n", "has no column file and text"),
        ("captions.csv", b'file,text\na.png,"x\n', "is not csv in UTF-8"),
        ("captions.csv", b"file,text\n../a.png,x\n", "row 2: '../a.png' is not within"),
        ("captions.jsonl", b"\n[1]\n", "row 2: is no JSON object"),
        ("captions.jsonl", b'{"file": "a.png"', "row 1: is no JSON object"),
        ("captions.jsonl", b'{"file": "a.png", "text": 3}', "a.png: it has no caption"),
        ("captions.jsonl", b'{"file": "b.png", "text": "x"}', "b.png: No such file"),
        ("metadata.jsonl", b"\xff", "is not jsonl in UTF-8"),
        ("list.json", b'[{"image_file": "a.png", "text": "x"}', "is not JSON in UTF-8"),
        ("list.json", b"[3]", "entry 0: is no JSON object"),
        ("a.tar", b"nothing of the kind" * 50, "is no tar file"),
        ("a.parquet", b"PAR1 nothing", "is no parquet table"),
    ],
)
def test_data_that_cannot_be_used(tmp_path, name, content, says):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainingDataError, match=says):
        opened(tmp_path)


def test_what_is_left_out_is_named(tmp_path, capsys):
    as_captions(tmp_path, 4)
    rows = (tmp_path / "captions.jsonl").read_text()
    rows += '{"file": "none.png", "text": "x"}\n{"file": "images/0001.png", "text": " "}\n'
    (tmp_path / "captions.jsonl").write_text(rows)
    assert data_command.main(["index", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "4 pictures" in said
    assert "left out: 2" in said
    assert "row 5: " in said
    assert "none.png: No such file" in said


def test_a_shard_that_is_cut_off_gives_what_is_before(tmp_path):
    as_tars(tmp_path, 8)
    shard = tmp_path / "00000.tar"
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    index = build_index(tmp_path, default_folder(tmp_path))
    assert 2 <= index.num_rows < 8
    assert "cut off" in index.left_out[0]


def test_captions_of_several_columns():
    texts = {"long": ["one", "two"], "short": "three", "empty": " "}
    columns = CaptionColumns.parse("long:0.75,short:0.25")
    chosen = Counter(columns.choose(texts, 0, n) for n in range(2000))
    assert 0.34 < chosen["one"] / 2000 < 0.41
    assert 0.22 < chosen["three"] / 2000 < 0.28
    assert columns.choose(texts, 0, 7) == columns.choose(texts, 0, 7)
    assert CaptionColumns.parse("empty:5,short").choose(texts, 0, 1) == "three"
    assert CaptionColumns.parse("empty").choose(texts, 0, 1) is None
    assert CaptionColumns({}).choose({"caption": "b", "text": "a", "x": "c"}, 0, 1) == "a"
    for words in ("long:0", "a:1,a:2", ":3", "a:x"):
        with pytest.raises(ValueError, match="`caption_column` must be like"):
            TrainConfig(caption_column=words)


def test_captions_lose_whole_sentences():
    text = "One two three. Four five! Six seven eight nine? Ten."

    def count(words):
        return len(words.split())

    assert cut_at_sentence(text, 100, count) == text
    assert cut_at_sentence(text, 6, count) == "One two three. Four five!"
    assert cut_at_sentence(text, 4, count) == "One two three."
    assert cut_at_sentence(text, 1, count) == "One two three."


def test_filters(tmp_path):
    as_csv(tmp_path, 40)
    for n in (3, 4):
        (tmp_path / f"images/{n:04d}.png").write_bytes(picture(n, (40, 120)))
    pairs = opened(tmp_path)
    picked = pairs.select(parse_conditions("score>=1, aspect<2, shorter >= 64"), None)[0]
    assert picked.block(0).rows.tolist() == list(range(10, 40))
    assert pairs.num_selected == 30
    assert picked.draw(np.random.default_rng(3)) >= 10
    with pytest.raises(TrainingDataError, match=r"no column of numbers is called 'scor'; did"):
        pairs.select(parse_conditions("scor>1"), None)
    with pytest.raises(TrainingDataError, match="no picture is left by the filter"):
        pairs.select(parse_conditions("score>100"), None)
    with pytest.raises(ValueError, match="`filter` must be like"):
        TrainConfig(filter="score~3")


def test_the_order_of_an_epoch(tmp_path):
    as_captions(tmp_path, 63)
    index = opened(tmp_path).indexes[0]
    blocks = Selection([index], block_rows=7, window_blocks=3)
    order = WindowedOrder(5, blocks)
    epochs = [[order.pair_of(e * 63 + n) for n in range(63)] for e in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(63))
    assert epochs[0] != epochs[1]
    windows = [epochs[0][start : start + 21] for start in (0, 21, 42)]
    assert all(len({row // 7 for row in window}) == 3 for window in windows)
    backwards = WindowedOrder(5, blocks)
    assert [backwards.pair_of(n) for n in reversed(range(126))][::-1] == epochs[0] + epochs[1]
    assert [WindowedOrder(6, blocks).pair_of(n) for n in range(63)] != epochs[0]


def test_equal_captions_are_shuffled_too(tmp_path):
    as_captions(tmp_path, 40)
    text = (tmp_path / "captions.jsonl").read_text()
    rows = [json.loads(line) | {"text": f"a {n // 10}"} for n, line in enumerate(text.splitlines())]
    (tmp_path / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    order = WindowedOrder(0, Selection([opened(tmp_path).indexes[0]]))
    shown = [order.pair_of(n) for n in range(40)]
    assert sorted(shown) == list(range(40))
    neighbours = sum(a // 10 == b // 10 for a, b in pairwise(shown))
    assert neighbours < 20


def test_a_mixture_keeps_its_shares():
    order = MixedOrder(3, [PermutedOrder(0, 10), PermutedOrder(0, 1000)], [0, 10], [0.3, 0.7])
    seen = [order.pair_of(n) for n in range(2 * CYCLE)]
    assert sum(pair < 10 for pair in seen) == 6000
    of_first = [pair for pair in seen if pair < 10]
    assert Counter(of_first[:10]) == Counter(range(10))
    assert 0.25 < sum(pair < 10 for pair in seen[:1000]) / 1000 < 0.35
    again = MixedOrder(3, [PermutedOrder(0, 10), PermutedOrder(0, 1000)], [0, 10], [3, 7])
    assert [again.pair_of(n) for n in (5, 19_000, 5)] == [seen[5], seen[19_000], seen[5]]


def test_sources_with_weights(tmp_path):
    as_captions(tmp_path / "a", 8)
    as_tars(tmp_path / "b", 30)
    words = [f"{tmp_path / 'a'}:0.5", f"{tmp_path / 'b'}:1.5"]
    pairs = IndexedPairs.open([DataSource.parse(word) for word in words], tmp_path / "cache")
    pairs.select((), None)
    order = pairs.order(0, 1)
    seen = [order.pair_of(n) for n in range(CYCLE)]
    assert sum(pair < 8 for pair in seen) == CYCLE // 4
    assert {pairs.name(pair).rpartition("/")[2][:5] for pair in seen if pair >= 8} == {"00000"}
    with pytest.raises(ValueError, match="a weight for each source, or for none"):
        IndexedPairs.open(
            [DataSource.parse(words[0]), DataSource(tmp_path / "b")], tmp_path / "cache"
        )


def test_shapes_of_pictures():
    buckets = Buckets(512, 2.0, 64)
    assert buckets.shapes[0] == (512, 512)
    assert all(s.height * s.width <= 512**2 and s.height % 64 == s.width % 64 == 0
               for s in buckets.shapes)  # fmt: skip
    numbers = buckets.numbers([1000, 2000, 100, 0, 300], [1000, 1000, 900, 0, 400])
    shapes = [buckets.shapes[n] for n in numbers]
    assert shapes[0] == shapes[3] == (512, 512)
    assert shapes[1] == (320, 704) or shapes[1] == (384, 640)
    assert shapes[2].height > shapes[2].width
    part = cut(Image.new("RGB", (200, 100)), Shape(64, 64))
    assert part.pixels.shape == (64, 64, 3)
    assert (part.original, part.corner) == ((100, 200), (0, 32))


def test_a_batch_has_one_shape(tmp_path):
    as_captions(tmp_path, 60)
    for n in range(60):
        size = ((64, 64), (128, 64), (64, 128))[n % 3]
        (tmp_path / f"images/{n:04d}.png").write_bytes(picture(n, size))
    config = TrainConfig(steps=30, batch_size=4, largest_aspect=2.0, bucket_px=16, device="cpu")
    samples = Samples(opened(tmp_path), config, (4, 8, 8), 1000, 64)
    assert len(samples.buckets.shapes) == 3
    source = samples.source
    plan = StepPlan(
        source.order(0, 8, listed=False), source, global_batch=8, at_once=4, first_step=0,
        last_step=30,
    )  # fmt: skip
    pairs, mixed = [], 0
    for step in plan.steps():
        shapes = [{sample.bucket for sample in batch} for batch in step]
        assert all(len(shape) == 1 for shape in shapes)
        mixed += len({bucket for shape in shapes for bucket in shape}) > 1
        pairs += [sample.pair for batch in step for sample in batch]
    assert set(Counter(pairs).values()) == {4}  # 240 samples are 4 epochs
    assert mixed <= 12  # the ends of epochs; without order nearly all would be
    batch = samples[next(plan.steps())[0][0]]
    assert batch.pixels.shape[2] // 8 == batch.noise.shape[2]


def test_tar_shards_of_other_makers(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        add(tar, "x/one.jpg.txt", b"not a caption of x/one")
        add(tar, f"{'long/' * 40}two.image.png", picture(1))
        add(tar, f"{'long/' * 40}two.txt", "\ufeffblé".encode())
        add(tar, "three.json", b'{"caption": "c", "aesthetic": 6.5}')
        add(tar, "three.png", picture(2))
        add(tar, "four.png", picture(3))
        add(tar, "five.json", b"[")
        add(tar, "five.png", picture(4))
    pairs = opened(tmp_path)
    assert [pairs.text(n) for n in range(len(pairs))] == ["blé", "c"]
    assert pairs.image(1).tobytes() == IndexedPairs.open(
        [DataSource(tmp_path)], tmp_path / "cache").image(1).tobytes()  # fmt: skip
    assert pairs.indexes[0].columns == {"aesthetic"}
    left_out = " ".join(pairs.indexes[0].left_out)
    assert "four.png: it has no caption" in left_out
    assert "five.png: its .json cannot be read" in left_out
