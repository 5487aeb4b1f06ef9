"""Sound files of every format, made by the toolkit itself; each is made once a process."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import platform
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from tests.backends.fake_modelscope import FakeModelScope
from tests.cli.own_parts import GENERATE, ITEMS, SCORE, write_parts
from tests.helpers import Ended, csv_text, row

BENCHMARK = csv_text(
    [
        row("a1", 1),
        row("a1", 2, "1"),
        row("b-2", 1, tuple="attribute - colour (cube, purple)", text='a "cube", purple\nand é'),
        row("b-2", 2, "1,0"),
        row("c", 1, "0"),
    ]
).encode()
RIGHT_ANSWERS = csv_text(
    [
        row("a1", 1, answer="no", question_template=""),
        row("a1", 2, "1", answer="seven", question_template="{question} Say one word."),
        row("b-2", 1, answer="", question_template="{question}"),
    ],
    (*row("a1", 1), "answer", "question_template"),
).encode()
ANSWERS = (
    b"item_id,tile,question_id,answer,model\n"
    b"a1,0,1,yes,m\na1,0,2,no,m\na1,1,1,yes,m\na1,1,2,yes,m\nb-2,0,1,No,n\nb-2,0,2,yes,m\nc,0,1,,m\n"
)
ANSWER_LINES = (
    b'{"item_id": "a1", "tile": 0, "qid": 1, "answer": "yes", "p_yes": 0.9}\n'
    b'{"item_id": "a1", "tile": 0, "qid": 2, "answer": "no", "truncated": true}\n'
    b'{"item_id": "b-2", "tile": 3, "qid": 1, "answer": "unclear: \xc3\xa9", "invalid": true}\n'
    b'{"item_id": "c", "tile": 1, "qid": 1, "answer": null}\n'
)
CHAT_LINES = (
    b'{"key": "0a", "item_id": "a", "purpose": "graph", "text": "{}", "finish": "stop", '
    b'"prompt_tokens": 9, "completion_tokens": 2, "are_counted": true, "date": "2026-11-27"}\n'
    b'{"item_id": "a", "attempt": 1, "date": "2026-11-27"}\n'
    b'{"useless_prompt_tokens": 9, "useless_completion_tokens": 0, "date": "2026-11-27"}\n'
    b'{"key": "0b", "item_id": "a", "purpose": "check", "text": "\xc3\xa9", "finish": "length", '
    b'"prompt_tokens": 9, "completion_tokens": 0, "are_counted": false, "date": "2026-11-27"}\n'
)
MAKE_RECORD = (
    b'{"schema": 1, "identity": {"llm": {"model": "m"}}, "csv_sha256": "0a", '
    b'"previous_csv_sha256": null, "failures": {"a": {"reason": "none", "attempt": 0}}, '
    b'"started": "2026-11-27"}'
)
PEOPLE = b"item,model,score,rater\na1,m,3.5,r1\na1,m,4,r2\nb-2,m,1,r1\nc,n,2e0,r1\n"
PROMPT_LINES = (
    b'{"id": "p1", "prompt": "a cube"}\n'
    b'{"prompt_id": 7, "text": "\xc3\xa9 \\u00e9"}\n"three dogs"\n'
)
HEARTBEAT = {
    "work": "score", "of": "own_judge:Judge", "unit": "question", "done": 7, "total": 48,
    "items_done": 1, "items": 4, "failed": 0, "per_second": 3.5, "seconds_left": 11.7,
    "process": 1, "host": "here", "started": "2026-01-01T00:00:00+00:00",
    "updated": "2026-01-01T00:00:02+00:00",
}  # fmt: skip
PROMPT_TABLE = b'id,prompt,note\np1,"a cube, purple",x\np2,two dogs,\n'


@contextlib.contextmanager
def folder(path: Path) -> Iterator[None]:
    """Work in a folder for a while."""
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


def call(*words: object) -> Ended:
    """Run the command line in this process; what it raises beyond its exit comes through."""
    from dpgbench.cli import main

    out, err, arguments = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["dpgbench", *map(str, words)]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1 if stop.code else 0
    finally:
        sys.argv = arguments
    return Ended(code, out.getvalue(), err.getvalue())


@cache
def made_run() -> Path:
    """Return a folder with own classes, a benchmark `b.csv`, and runs that are drawn and judged.

    `r` is of one process, `w` as if this one still worked in it, `s` of two shards, merged.
    """
    place = Path(tempfile.mkdtemp(prefix="fuzz-run-"))
    write_parts(place)
    with folder(place):
        for words in ((*GENERATE, "--bench", "b.csv"), SCORE):
            ended = call(*words)
            assert ended.code == 0, ended.err
        sharded = [("s" if word == "r" else word) for word in (*GENERATE, "--bench", "b.csv")]
        for shard in ("1/2", "2/2"):
            for words in (sharded, ("score", "s", *SCORE[2:-5])):
                ended = call(*words, "--shard", shard)
                assert ended.code == 0, ended.err
        assert call("merge", "s").code == 0
        owner = {"host": platform.node(), "process": os.getpid(), "token": "x"}
        shutil.copytree("r", "w")
        Path("w/.owner").write_text(json.dumps(owner))
        Path("w/.progress.json").write_text(json.dumps(HEARTBEAT))
        lines = "".join(f"{item},0,{qid},yes\n" for item in ITEMS for qid in (1, 2, 3))
        Path("a.csv").write_text("item_id,tile,question_id,answer\n" + lines)
        Path("h.csv").write_text(
            "item,score\n" + "".join(f"{x},{n}\n" for n, x in enumerate(ITEMS))
        )
    return place


def run_file(pattern: str) -> bytes:
    """Return the content of the first file of the run that a pattern names."""
    return min((made_run() / "r").glob(pattern)).read_bytes()


@cache
def manifest(kind: str) -> bytes:
    """Return a manifest of a kind."""
    from tests.store.manifests import made

    path = Path(tempfile.mkdtemp(prefix="fuzz-")) / "manifest.json"
    made(kind).write(path)
    return path.read_bytes()


@cache
def picture(form: str, mode: str = "RGB") -> bytes:
    """Return a picture of 8x6 pixels in a format and a mode."""
    from PIL import Image

    picture = Image.new("RGBA", (8, 6), (200, 30, 20, 255))
    picture.putpixel((3, 2), (1, 2, 3, 100))
    buffer = io.BytesIO()
    more: dict[str, Any] = {}
    if form == "JPEG":
        exif = Image.Exif()
        exif[0x0112] = 6
        more["exif"] = exif
    picture.convert("RGB" if mode == "P" else mode).convert(mode).save(buffer, form, **more)
    return buffer.getvalue()


@cache
def animated_png() -> bytes:
    """Return an animated PNG of two frames."""
    from PIL import Image

    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def upstream() -> tuple[Any, dict[str, bytes]]:
    """Return which files a small upstream has, and the files by path."""
    from dpgbench.store.hashes import git_blob_id
    from dpgbench.store.pull import Upstream

    prompts = {"a1": b"a cube\n", "b-2": "é\n".encode()}
    files = {f"dpg_bench/prompts/{name}.txt": text for name, text in prompts.items()}
    files["dpg_bench/dpg_bench.csv"] = BENCHMARK
    blobs = {name: git_blob_id(text) for name, text in prompts.items()}
    return Upstream("http://127.0.0.1:9/x.tar.gz", git_blob_id(BENCHMARK), blobs), files


@cache
def archive(form: str) -> bytes:
    """Return the small upstream as ``zip``, ``tar``, ``tar.gz``, ``tar.bz2`` or ``tar.xz``."""
    _, files = upstream()
    buffer = io.BytesIO()
    if form == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, data in files.items():
                zipped.writestr(f"ELLA-main/{name}", data)
        return buffer.getvalue()
    mode: Any = f"w:{form.partition('.')[2]}"
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"ELLA-main/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@cache
def mplug_folder() -> Path:
    """Return the folder of a tiny judge."""
    from dpgbench.mplug import write_tiny_checkpoint

    place = Path(tempfile.mkdtemp(prefix="fuzz-mplug-"))
    write_tiny_checkpoint(place)
    return place


@cache
def pickled(*, new: bool) -> bytes:
    """Return some tensors, one of a judge, as `torch.save` writes them now or wrote them once."""
    import torch

    tensors = {
        "visual_encoder.visual.class_embedding": torch.zeros(64),
        "model.x": torch.ones(2, 3, dtype=torch.float16),
        "text_decoder.bert.embeddings.position_ids": torch.arange(4),
    }
    buffer = io.BytesIO()
    torch.save({"model": tensors, "epoch": 3}, buffer, _use_new_zipfile_serialization=new)
    return buffer.getvalue()


@cache
def connector() -> bytes:
    """Return a tiny connector's file."""
    from ella.tiny import tiny_connector

    path = Path(tempfile.mkdtemp(prefix="fuzz-ella-")) / "connector.safetensors"
    tiny_connector().save_safetensors(path)
    return path.read_bytes()


@cache
def small_tensors(metadata: str = "") -> bytes:
    """Return a safetensors file of two small tensors."""
    import torch
    from safetensors.torch import save

    tensors = {"weights/a": torch.zeros(2, 3), "b": torch.ones(1)}
    return save(tensors, {"ella": metadata} if metadata else None)


@cache
def checkpoint() -> bytes:
    """Return a training checkpoint."""
    return small_tensors(json.dumps({"step": 3, "settings": {"seed": 0}, "scaler": {}}))


class SpoiltModelScope(FakeModelScope):
    """A ModelScope whose list of files is what a test says.

    Attributes:
        listing: the body of its answer.
    """

    listing = b""

    def answer(self, call: BaseHTTPRequestHandler) -> None:
        """Answer one call."""
        if not urlsplit(call.path).path.endswith("/repo/files"):
            super().answer(call)
            return
        call.send_response(200)
        call.send_header("Content-Length", str(len(self.listing)))
        call.end_headers()
        call.wfile.write(self.listing)


@cache
def modelscope() -> SpoiltModelScope:
    """Return a running server with one small model; it ends with the process."""
    server = SpoiltModelScope("a/b", {"config.yaml": b"image_res: 1\n"})
    server._thread.daemon = True
    return cast("SpoiltModelScope", server.__enter__())


@cache
def text_encoder() -> Path:
    """Return the folder of a tiny T5 encoder with its tokenizer."""
    from ella.tiny import tiny_text_encoder

    place = Path(tempfile.mkdtemp(prefix="fuzz-t5-"))
    encoder = tiny_text_encoder()
    encoder.model.save_pretrained(place)
    encoder.tokenizer.save_pretrained(place)
    return place


@cache
def vision_judge() -> Path:
    """Return the folder of a tiny LLaVA."""
    from tests.backends.tiny_vlms import write_llava

    return write_llava(Path(tempfile.mkdtemp(prefix="fuzz-llava-")))


@cache
def service() -> Any:
    """Return a server's service with a judge of its own and a benchmark; without HTTP."""
    from dpgbench.backends.judges.own_class import OwnJudge
    from dpgbench.server.batching import JudgeThread
    from dpgbench.server.limits import Limits
    from dpgbench.server.service import Service
    from dpgbench.store.benchmarks import load_benchmark
    from tests.server.own_judges import ByColour

    path = Path(tempfile.mkdtemp(prefix="fuzz-serve-")) / "b.csv"
    path.write_bytes(BENCHMARK)
    made = Service(
        JudgeThread(lambda: OwnJudge(ByColour(None))),
        "by-colour",
        benchmark=load_benchmark(path),
        rules=["dsg", "corrected-v1"],
        limits=Limits(picture_pixels=2**20),
    )
    made.start()
    made.askers.ready.result(timeout=60)
    made.status = "ready"
    return made


def score_request() -> bytes:
    """Return a request for two items, one of the benchmark, one with questions of its own."""
    image = base64.b64encode(picture("PNG")).decode()
    questions = [{"question": "Is it red?", "qid": 1}, {"question": "Big?", "parents": [1]}]
    items = [
        {"item_id": "a1", "images": [image], "layout": "2x2"},
        {"item_id": "own", "prompt": "x", "questions": questions, "images": [image, image]},
    ]
    return json.dumps({"items": items, "rules": ["dsg"], "read_answers": True}).encode()


def score_form() -> bytes:
    """Return a form for one item of the benchmark, its picture a file, with boundary ``XX``."""
    head = 'Content-Disposition: form-data; name="'
    return (
        (
            f'--XX\r\n{head}layout"\r\n\r\n2x2\r\n'
            f'--XX\r\n{head}rules"\r\n\r\ndsg\r\n'
            f'--XX\r\n{head}a1"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
        ).encode()
        + picture("PNG")
        + b"\r\n--XX--\r\n"
    )
