"""The same pairs as files of each layout that training reads."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

WORDS = ("circle", "square", "house", "tree", "dog", "cat", "lamp", "table")


def caption(number: int) -> str:
    return f"a {WORDS[number % 8]} beside a {WORDS[number // 8 % 8]}, number {number}"


def picture(number: int, size: tuple[int, int] = (80, 64)) -> bytes:
    """A PNG of coloured blocks."""
    blocks = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


def write_pictures(folder: Path, number: int) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{n:04d}.png" for n in range(number)]
    for n, name in enumerate(names):
        (folder / name).write_bytes(picture(n))
    return names


def as_captions(folder: Path, number: int) -> None:
    names = write_pictures(folder / "images", number)
    rows = [{"file": f"images/{name}", "text": caption(n)} for n, name in enumerate(names)]
    (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_csv(folder: Path, number: int) -> None:
    names = write_pictures(folder / "images", number)
    with (folder / "captions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "text", "score"])
        writer.writerows(
            [f"images/{name}", caption(n), str(n / 10)] for n, name in enumerate(names)
        )


def as_metadata(folder: Path, number: int) -> None:
    names = write_pictures(folder / "train", number)
    rows = [{"file_name": name, "text": caption(n)} for n, name in enumerate(names)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "train/metadata.jsonl").write_text(lines)


def as_ip_adapter(folder: Path, number: int) -> None:
    """With absolute paths."""
    names = write_pictures(folder / "images", number)
    rows = [
        {"image_file": str((folder / "images" / name).resolve()), "text": caption(n)}
        for n, name in enumerate(names)
    ]
    (folder / "data.json").write_text(json.dumps(rows))


def as_sidecars(folder: Path, number: int) -> None:
    for n, name in enumerate(write_pictures(folder, number)):
        beside = folder / name
        if n % 2:
            beside.with_suffix(".txt").write_text(caption(n) + "\n")
        else:
            beside.with_suffix(".json").write_text(json.dumps({"caption": caption(n)}))


def as_tars(folder: Path, number: int, per_shard: int = 30) -> None:
    """As img2dataset writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, number, per_shard):
        with tarfile.open(folder / f"{first // per_shard:05d}.tar", "w") as tar:
            for n in range(first, min(number, first + per_shard)):
                facts = {
                    "caption": caption(n),
                    "width": 80,
                    "height": 64,
                    "url": "x",
                    "sha256": "y",
                }
                add(tar, f"{n:09d}.png", picture(n))
                add(tar, f"{n:09d}.txt", caption(n).encode())
                add(tar, f"{n:09d}.json", json.dumps(facts).encode())
        (folder / f"{first // per_shard:05d}_stats.json").write_text("{}")


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def as_parquet(folder: Path, number: int) -> None:
    """As Hugging Face writes them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": picture(n), "path": None} for n in range(number)]
    table = pa.table({"image": images, "text": [caption(n) for n in range(number)]})
    pq.write_table(table, folder / "train-00000-of-00001.parquet", row_group_size=10)


def as_parquet_of_paths(folder: Path, number: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = write_pictures(folder / "images", number)
    columns = {
        "path": [f"images/{name}" for name in names],
        "caption": [caption(n) for n in range(number)],
        "score": [n / 10 for n in range(number)],
    }
    pq.write_table(pa.table(columns), folder / "list.parquet")


LAYOUTS = {
    "captions": as_captions,
    "csv": as_csv,
    "metadata": as_metadata,
    "ip-adapter": as_ip_adapter,
    "sidecars": as_sidecars,
    "tars": as_tars,
    "parquet": as_parquet,
    "parquet of paths": as_parquet_of_paths,
}
