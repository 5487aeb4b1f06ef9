"""Data as they come: what would give a picture another's caption, or lose some in silence."""

from __future__ import annotations

import json
import os
import tarfile

import pytest
from PIL import Image

from ella import FolderPairs, TrainingDataError
from ella.data.__main__ import main
from ella.data.captions import CaptionColumns
from ella.data.index import Index, build_index, default_folder
from ella.data.pairs import DataSource, IndexedPairs
from tests.ella.data_layouts import add, as_tars, picture, write_pictures


def indexed(folder):
    return build_index(folder, default_folder(folder))


def rows_of(folder):
    index = indexed(folder)
    return [index.texts(row) for row in range(index.num_rows)]


def shard(file, *members):
    with tarfile.open(file, "w") as tar:
        for name, content in members:
            add(tar, name, content)


def test_a_caption_is_not_cut_at_a_comma(tmp_path):
    write_pictures(tmp_path, 1)
    (tmp_path / "captions.csv").write_text("file,text\n0000.png,a dog, at night\n")
    with pytest.raises(TrainingDataError, match=r"row 2: has more cells .* into quotes"):
        indexed(tmp_path)
    with pytest.raises(TrainingDataError, match=r"row 2: has more cells .* into quotes"):
        FolderPairs(tmp_path)
    (tmp_path / "captions.csv").write_text('file,text\n0000.png,"a dog, at night",,\n')
    assert rows_of(tmp_path) == [("0000.png", {"text": "a dog, at night"})]
    assert FolderPairs(tmp_path).text(0) == "a dog, at night"


@pytest.mark.parametrize(
    ("first_line", "said"),
    [("file;text", "parted by semicolons"), ("file,text,text", "has two columns 'text'")],
)
def test_a_header_that_is_another_than_it_seems(tmp_path, first_line, said):
    write_pictures(tmp_path, 1)
    (tmp_path / "captions.csv").write_text(f"{first_line}\n0000.png,a,b\n")
    with pytest.raises(TrainingDataError, match=said):
        indexed(tmp_path)


def test_another_column_does_not_stand_for_a_missing_caption(tmp_path):
    write_pictures(tmp_path, 3)
    rows = [{"file": "0000.png", "text": "a dog", "source": "flickr"}]
    rows += [rows[0] | {"file": "0001.png", "text": None}]
    rows += [rows[0] | {"file": "0002.png", "text": " "}]
    (tmp_path / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    index = indexed(tmp_path)
    assert (index.num_rows, index.num_left_out) == (1, 2)
    assert "0001.png: it has no caption" in index.left_out[0]


def test_nor_where_its_data_come_in_several_pieces(tmp_path):
    shard(tmp_path / "0.tar", ("a.png", picture(0)), ("a.txt", b"a dog"))
    shard(tmp_path / "1.tar", ("b.png", picture(1)), ("b.json", b'{"source": "flickr"}'))
    pairs = IndexedPairs.open([DataSource(tmp_path)], tmp_path / "cache")
    assert pairs.caption(0, CaptionColumns({}), 0, 0) == "a dog"
    with pytest.raises(TrainingDataError, match=r"has no caption .*it has: source"):
        pairs.caption(1, CaptionColumns({}), 0, 0)


def test_names_with_several_points_in_a_shard(tmp_path):
    shard(
        tmp_path / "0.tar",
        *[(f"1.{n}_x.{end}", content) for n in range(3)
          for end, content in (("png", picture(n)), ("txt", f"number {n}".encode()))],
        ("two.png", picture(4)), ("two.mask.png", picture(5)), ("two.txt", b"two"),
        ("again.png", picture(6)), ("again.txt", b"first"),
        ("again.png", picture(7)), ("again.txt", b"second"),
    )  # fmt: skip
    assert rows_of(tmp_path) == [
        *[(f"1.{n}_x.png", {"text": f"number {n}"}) for n in range(3)],
        ("two.png", {"text": "two"}),
        ("again.png", {"text": "first"}),
        ("again.png", {"text": "second"}),
    ]
    left_out = indexed(tmp_path).left_out[0]
    assert "two.mask.png: the texts beside it may be those of two.png" in left_out


def test_captions_that_are_not_utf_8_are_not_learnt_with_other_letters(tmp_path):
    two = [("a.png", picture(0)), ("a.txt", "café".encode("latin-1"))]
    shard(tmp_path / "0.tar", *two, ("b.png", picture(1)), ("b.txt", b"b"))
    assert [row[0] for row in rows_of(tmp_path)] == ["b.png"]
    beside = tmp_path / "beside"
    write_pictures(beside, 2)
    (beside / "0000.txt").write_bytes("a dog".encode("utf-16"))
    (beside / "0001.txt").write_text("b")
    assert [row[0] for row in rows_of(beside)] == ["0001.png"]
    assert "is not in UTF-8" in indexed(beside).left_out[0]


def test_folders_behind_links_are_read_once(tmp_path):
    for name in ("data/own", "elsewhere"):
        write_pictures(tmp_path / name, 1)
        (tmp_path / name / "0000.txt").write_text(name)
    (tmp_path / "data/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/round").symlink_to(tmp_path / "data")
    assert [row[0] for row in rows_of(tmp_path / "data")] == ["linked/0000.png", "own/0000.png"]


def test_names_that_no_terminal_may_obey_or_that_are_not_utf_8(tmp_path, capsys):
    for name in (b"caf\xe9", b"a\x1b[31mb\nc"):
        with open(bytes(tmp_path) + b"/" + name + b".png", "wb") as file:  # noqa: PTH123
            file.write(picture(0))
    with open(bytes(tmp_path) + b"/caf\xe9.txt", "w") as file:  # noqa: PTH123
        file.write("a dog")
    assert main(["index", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "1 picture (pictures)" in shown
    assert r"a\x1b[31mb\nc.png: there is no .txt" in shown
    pairs = IndexedPairs.open([DataSource(tmp_path)], tmp_path / "cache")
    assert pairs.image(0).size == (80, 64)


def test_a_list_in_json_ends_where_the_file_does(tmp_path):
    write_pictures(tmp_path, 2)
    lists = [json.dumps([{"image_file": f"000{n}.png", "text": "a"}]) for n in range(2)]
    (tmp_path / "data.json").write_text("".join(lists))
    with pytest.raises(TrainingDataError, match="something stands behind its list"):
        indexed(tmp_path)


def test_files_without_a_byte_are_left_out(tmp_path):
    two = [("a.png", picture(0)), ("a.txt", b"a"), ("b.png", b""), ("b.txt", b"b")]
    shard(tmp_path / "1.tar", *two)
    (tmp_path / "0.tar").write_bytes(b"")
    assert [row[0] for row in rows_of(tmp_path)] == ["a.png"]
    assert sum("the file is empty" in one for one in indexed(tmp_path).left_out) == 2


def table(folder, **columns):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / "a.parquet")
    index = indexed(folder)
    records = [index.record(row)[1] for row in range(index.num_rows)]
    sizes = [(int(record["width"]), int(record["height"])) for record in records]
    return [index.texts(row) for row in range(index.num_rows)], sizes


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -1.0, 1e30])
def test_widths_that_are_none(tmp_path, odd):
    three = [picture(n) for n in range(2)]
    sides = [80.0, odd]
    assert table(tmp_path, image=three, text=["a", "b"], width=sides, height=sides)[1] == [
        (80, 80),
        (0, 0),
    ]


def test_columns_as_tables_have_them(tmp_path):
    import pyarrow as pa

    rows, _ = table(
        tmp_path / "lists", image=[picture(0)] * 3, captions=[["a", None], ["b"], [None]]
    )
    assert rows == [("row 0", {"captions": ["a"]}), ("row 1", {"captions": ["b"]})]
    rows, _ = table(tmp_path / "bytes", image=[picture(0)] * 2, text=[b"a", b"\xff"])
    assert rows == [("row 0", {"text": "a"})]
    write_pictures(tmp_path / "paths", 1)
    (tmp_path / "paths/row 1").write_bytes(picture(1))
    paths = pa.array(["0000.png", "row 1"]).dictionary_encode()
    rows, _ = table(tmp_path / "paths", clip=[b"1", b"2"], path=paths, text=["a", "b"])
    assert rows == [("0000.png", {"text": "a"}), ("./row 1", {"text": "b"})]
    pairs = IndexedPairs.open([DataSource(tmp_path / "paths")], tmp_path / "cache")
    assert pairs.image(1).size == (80, 64)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".mpo"])
def test_pictures_that_lie_on_their_side(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    still = Image.new("RGB", (80, 64))
    kind = {".mpo": {"format": "MPO", "save_all": True, "append_images": [still]}}
    name = "turned.jpg" if suffix == ".mpo" else f"turned{suffix}"
    still.save(tmp_path / name, exif=exif, **kind.get(suffix, {}))
    (tmp_path / "turned.txt").write_text("a")
    pairs = IndexedPairs.open([DataSource(tmp_path)], tmp_path / "cache")
    assert pairs.image(0).size == (64, 80)
    assert (pairs.size(0).width, pairs.size(0).height) == (64, 80)


def test_shards_that_came_or_changed_after_the_index_are_said(tmp_path):
    as_tars(tmp_path, 60)
    index = indexed(tmp_path)
    assert index.stale() == []
    shard(tmp_path / "late.tar", ("a.png", picture(0)), ("a.txt", b"a"))
    os.utime(tmp_path / "00001.tar", (1, 1))
    changed, new = Index(default_folder(tmp_path)).stale()
    assert "1 of 2 files have another time" in changed
    assert "(00001.tar)" in changed
    assert "1 files are not in the index and not trained on (late.tar)" in new


def test_an_index_that_was_put_elsewhere_is_data(tmp_path):
    as_tars(tmp_path / "data", 5)
    assert main(["index", str(tmp_path / "data"), "--index", str(tmp_path / "index")]) == 0
    pairs = IndexedPairs.open([DataSource(tmp_path / "index")], tmp_path / "cache")
    assert len(pairs) == 5
    assert pairs.image(4).size == (80, 64)
    assert not (tmp_path / "cache").exists()


def test_a_row_group_that_is_damaged_is_left_out_by_name(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    noise = [os.urandom(2_000) for _ in range(4)]
    columns = {"image": noise, "text": ["a"] * 4, "width": [80] * 4, "height": [64] * 4}
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), file, row_group_size=2, compression="gzip")
    pairs = IndexedPairs.open([DataSource(tmp_path)], tmp_path / "cache")
    content = bytearray(file.read_bytes())
    content[1_000:1_100] = bytes(100)
    file.write_bytes(content)
    with pytest.raises(TrainingDataError, match="row 0: no picture that can be read"):
        pairs.content(0)
    assert pairs.content(3) == noise[3]


def test_a_process_that_ends_while_indexing_is_one_line(tmp_path, capsys, monkeypatch):
    as_tars(tmp_path, 60)
    monkeypatch.setattr("ella.data.index.read_piece", lambda root, piece: os._exit(9))
    assert main(["index", str(tmp_path), "--workers", "2"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: a process was ended from outside")
    assert error.count("\n") == 1
