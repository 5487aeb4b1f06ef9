"""Every reader of files, with sound files to damage and what must hold of what it makes of them."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dpgbench.errors import DpgBenchError
from tests.fuzz import sound
from tests.fuzz.bounds import MEBIBYTE, Bounds

Read = Callable[[Path], Any]


def _nothing(_path: Path, _value: Any) -> None:
    """Hold nothing more."""


@dataclass(frozen=True)
class Reader:
    """A reader of one format.

    Attributes:
        file: what the damaged file is called; a folder before it is made.
        kind: of `damage.KINDS`.
        samples: sound files.
        read: reads the file at a path.
        errors: what it may raise.
        check: raises where a value that was read is not what it must be, such as the same again
            once it was written and read anew.
        beside: puts other files beside it first.
        names_file: an error names the file.
        bounds: what reading may need.
        examples: of the bounded form, in `make test`.
    """

    name: str
    file: str
    kind: str
    samples: Callable[[], list[bytes]]
    read: Read
    errors: tuple[type[BaseException], ...] = (DpgBenchError,)
    check: Callable[[Path, Any], None] = _nothing
    beside: Callable[[Path], None] = lambda _folder: None
    names_file: bool = True
    bounds: Bounds = field(default_factory=Bounds)
    examples: int = 60

    def warm(self, folder: Path) -> None:
        """Read the sound files, so that what is imported for it is there."""
        for sample in self.samples():
            path = folder / self.file
            path.parent.mkdir(parents=True, exist_ok=True)
            self.beside(path.parent)
            path.write_bytes(sample)
            with contextlib.suppress(*self.errors):  # an animation is sound, and refused
                self.check(path, self.read(path))


READERS: dict[str, Reader] = {}


def _reader(*values: Any, **fields: Any) -> None:
    reader = Reader(*values, **fields)
    assert reader.name not in READERS
    READERS[reader.name] = reader


# -- tables -------------------------------------------------------------------------------------


def _load_benchmark(path: Path) -> Any:
    from dpgbench.store.benchmarks import load_benchmark

    benchmark = load_benchmark(path)
    benchmark.findings()
    benchmark.counts()
    return benchmark


def _kept_replies(path: Path) -> Any:
    from dpgbench.store.chat_log import read_chat_log

    return read_chat_log(path)


def _whole_kept_replies(_path: Path, kept: Any) -> None:
    lines = kept.lines
    assert all(key == line["key"] and isinstance(line["text"], str) for key, line in lines.items())
    assert all(number >= 0 for number in (*kept.attempts.values(), *kept.useless_tokens))


def _examples(path: Path) -> Any:
    from dpgbench.jobs.make.examples import load_examples

    return load_examples(path)


def _make_record(path: Path) -> Any:
    from dpgbench.jobs.make.files import MadeFiles, read_record

    files = MadeFiles(path.with_name("none.csv"), path, path.with_name("chat.jsonl"))
    return read_record(files, {"llm": {"model": "m"}})


def _same_benchmark(path: Path, benchmark: Any) -> None:
    """A benchmark that is written again is the same, and pandas sees the same cells."""
    from dpgbench.domain.benchmark import ANSWER_COLUMN, COLUMNS, TEMPLATE_COLUMN
    from dpgbench.store.benchmarks import load_csv
    from tests.helpers import csv_text

    if benchmark.is_list:
        return
    rows = [
        {
            **{name: getattr(row, name) for name in COLUMNS if hasattr(row, name)},
            "proposition_id": str(row.qid),
            "question_natural_language": row.question,
            ANSWER_COLUMN: row.expected,
            TEMPLATE_COLUMN: row.template,
        }
        for row in benchmark.rows
    ]
    again = path.with_name("again.csv")
    columns = (*COLUMNS, ANSWER_COLUMN, TEMPLATE_COLUMN)
    again.write_bytes(csv_text(rows, columns).encode())
    second = load_csv(again, benchmark.name)
    assert second.prompts == benchmark.prompts
    assert second.graphs_sha256 == benchmark.graphs_sha256
    assert second.questions_sha256 == benchmark.questions_sha256


def _recorded(path: Path) -> Any:
    from dpgbench.store.recorded_answers import read_recorded_answers

    return read_recorded_answers(path, {})


def _same_answers(path: Path, answers: Any) -> None:
    from dpgbench.store.recorded_answers import read_recorded_answers
    from dpgbench.store.run.answers import write_answer_file

    again = path.with_name("again.jsonl")
    write_answer_file(again, answers, scratch=path.parent)
    if answers:
        assert read_recorded_answers(again, {}) == answers


def _people(path: Path) -> Any:
    from dpgbench.store.human_scores import read_human_scores

    return read_human_scores(path)


def _finite_scores(_path: Path, people: Any) -> None:
    assert people.scores
    assert all(map(math.isfinite, people.scores.values()))


def _published(path: Path) -> Any:
    from dpgbench.store.published import read_published

    return read_published(path)


def _prompts(path: Path) -> Any:
    from dpgbench.store.prompt_lists import is_prompt_list, read_prompt_list

    return read_prompt_list(path) if is_prompt_list(path) else None


def _same_prompts(path: Path, prompts: Any) -> None:
    if prompts is None:
        return
    again = path.with_name("again.jsonl")
    lines = [json.dumps({"id": key, "prompt": text}) + "\n" for key, text in prompts.items()]
    again.write_text("".join(lines))
    assert _prompts(again) == prompts


def _sound_prompts(path: Path, prompts: Any) -> None:
    for item_id in prompts or ():
        assert (path.parent / f"{item_id}.png").parent == path.parent
    _same_prompts(path, prompts)


_reader(
    "benchmark",
    "b.csv",
    "table",
    lambda: [sound.BENCHMARK, sound.RIGHT_ANSWERS],
    _load_benchmark,
    check=_same_benchmark,
    examples=150,
)
_reader(
    "benchmark.tsv",
    "b.tsv",
    "table",
    lambda: [sound.BENCHMARK.replace(b",", b"\t")],
    _load_benchmark,
)
_reader(
    "recorded answers",
    "a.csv",
    "table",
    lambda: [sound.ANSWERS],
    _recorded,
    check=_same_answers,
    examples=100,
)
_reader(
    "recorded lines",
    "a.jsonl",
    "lines",
    lambda: [sound.ANSWER_LINES],
    _recorded,
    check=_same_answers,
)
_reader(
    "kept replies",
    "chat.jsonl",
    "lines",
    lambda: [sound.CHAT_LINES],
    _kept_replies,
    check=_whole_kept_replies,
)
_reader(
    "examples of graphs",
    "e.csv",
    "table",
    lambda: [_packaged("prompts", "shapes.csv")],
    _examples,
    examples=30,
)
_reader("record of made graphs", "make.json", "json", lambda: [sound.MAKE_RECORD], _make_record)
_reader("human scores", "h.csv", "table", lambda: [sound.PEOPLE], _people, check=_finite_scores)
_reader(
    "published scores",
    "published.csv",
    "table",
    lambda: [_packaged("reports", "published.csv")],
    _published,
)
_reader(
    "prompts.txt",
    "p.txt",
    "text",
    lambda: [b"a cube\n\n  two dogs \n\xc3\xa9\r\n"],
    _prompts,
    check=_sound_prompts,
)
_reader(
    "prompts.jsonl",
    "p.jsonl",
    "lines",
    lambda: [sound.PROMPT_LINES],
    _prompts,
    check=_sound_prompts,
    examples=100,
)
_reader(
    "prompts.csv", "p.csv", "table", lambda: [sound.PROMPT_TABLE], _prompts, check=_sound_prompts
)


def _packaged(folder: str, name: str) -> bytes:
    from dpgbench.store.paths import data_folder

    return b"".join((data_folder(folder) / name).read_bytes().splitlines(keepends=True)[:6])


# -- a run's files ------------------------------------------------------------------------------


def _manifest(path: Path) -> Any:
    from dpgbench.store.run import manifest_summary as summary
    from dpgbench.store.run.manifest import judge_file_name, read_manifest, recorded_model

    recorded_model(path)
    judge_file_name(path, "j")
    manifest = read_manifest(path)
    for judge in ("j", *manifest.judges):
        summary.benchmark_hash(manifest, judge)
        summary.judge_hash(manifest, judge)
        summary.releases(manifest, judge)
        summary.truncated_questions(manifest, judge)
    for about in (summary.seed_rule, summary.base_seed, summary.image_size, summary.truncation,
                  summary.reads_all, summary.generation_settings):  # fmt: skip
        about(manifest)
    return manifest


def _same_manifest(path: Path, manifest: Any) -> None:
    from dpgbench.store.run.manifest import read_manifest

    again = path.with_name("again.json")
    manifest.write(again)
    assert read_manifest(again) == manifest


def _image_log(path: Path) -> Any:
    from dpgbench.store.run.image_log import changed_images, read_image_log

    changed_images(path, {"a1": "0" * 64})
    return read_image_log(path)


def _same_log(path: Path, log: Any) -> None:
    from dpgbench.store.files import json_line, write_atomic
    from dpgbench.store.run.image_log import read_image_log

    again = path.with_name("again.jsonl")
    write_atomic(again, "".join(map(json_line, log.values())))
    assert read_image_log(again) == log


def _answer_file(path: Path) -> Any:
    from dpgbench.store.run.answers import read_answer_file

    return read_answer_file(path)


def _answers_agree(path: Path, answers: Any) -> None:
    """Both readers of answers see the same, and so does who reads them written again."""
    from dpgbench.store.run.answers import (
        drop_invalid_answers,
        read_answer_file,
        read_answer_table,
        write_answer_file,
    )

    table = read_answer_table(path)
    assert {(a.item_id, a.tile, a.qid): a.answer for a in answers} == {
        (item, tile, qid): text for (item, tile), row in table.items() for qid, text in row.items()
    }
    again = path.with_name("again.jsonl")
    write_answer_file(again, answers, scratch=path.parent)
    assert read_answer_file(again) == answers
    drop_invalid_answers(again, scratch=path.parent)
    assert all(not answer.invalid for answer in read_answer_file(again))


def _result(path: Path) -> Any:
    from dpgbench.store.run.scores import read_result

    return read_result(path, 4)


def _same_result(path: Path, result: Any) -> None:
    from dpgbench.store.files import write_json
    from dpgbench.store.run.scores import items_csv, read_result, result_json

    again = path.with_name("again.json")
    write_json(again, result_json(result))
    again.with_suffix(".items.csv").write_text(items_csv(result), encoding="utf-8")
    second = read_result(again, 4)
    assert (second.overall, second.item_figures) == (result.overall, result.item_figures)
    write_json(
        again, result_json(second)
    )  # the first time, what only files of old have is left out
    assert read_result(again, 4) == second


def _scores_beside(folder: Path) -> None:
    (folder / "dsg.items.csv").write_bytes(sound.run_file("scores/*/dsg.items.csv"))
    (folder / "dsg.json").write_bytes(sound.run_file("scores/*/dsg.json"))


def _item_figures(path: Path) -> Any:
    from dpgbench.store.run.scores import read_item_figures

    return read_item_figures(path)


_reader(
    "manifest",
    "manifest.json",
    "json",
    lambda: [
        sound.run_file("manifest.json"),
        *map(sound.manifest, ("generated", "images", "answers")),
    ],
    _manifest,
    check=_same_manifest,
    examples=150,
)
_reader(
    "image log",
    "images.jsonl",
    "lines",
    lambda: [sound.run_file("images.jsonl")],
    _image_log,
    check=_same_log,
    examples=100,
)
_reader(
    "answers",
    "answers.jsonl",
    "lines",
    lambda: [sound.ANSWER_LINES, sound.run_file("answers/*.jsonl")],
    _answer_file,
    check=_answers_agree,
    examples=100,
)
_reader(
    "scores",
    "dsg.json",
    "json",
    lambda: [sound.run_file("scores/*/dsg.json"), sound.run_file("scores/*/corrected-v1.json")],
    _result,
    check=_same_result,
    beside=_scores_beside,
    examples=150,
)
_reader(
    "items of scores",
    "dsg.items.csv",
    "table",
    lambda: [sound.run_file("scores/*/dsg.items.csv")],
    _item_figures,
)


def _heartbeat(path: Path) -> Any:
    from dpgbench.store.run.heartbeat import read_heartbeat

    return read_heartbeat(path.parent)


def _owner(path: Path) -> Any:
    from dpgbench.store.run.ownership import owner_of

    return owner_of(path.parent)


def _set_aside(path: Path) -> Any:
    from dpgbench.store.run.set_aside import read_set_aside

    return list(read_set_aside(path.parents[2]))


def _lines(path: Path) -> Any:
    from dpgbench.store.run.answers import AnswerLine
    from dpgbench.store.run.lines import examine_lines

    return examine_lines(path, AnswerLine)


def _every_line_is_seen(path: Path, lines: Any) -> None:
    numbers = [line.number for line in (*lines.good, *lines.bad)]
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    assert sorted(numbers) == list(range(1, content.count(b"\n") + 1))


def _ordered(path: Path) -> Any:
    from dpgbench.store.run.directory import RunDir
    from dpgbench.store.run.order import order_image_log

    before = path.read_bytes()
    order_image_log(RunDir(path.parent), ["b2", "a1"])
    return before


def _no_line_is_lost(path: Path, before: Any) -> None:
    lines = before.removeprefix(b"\xef\xbb\xbf").split(b"\n")[:-1]
    after = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")[:-1]
    assert sorted(after) == sorted(lines)


_HEARTBEAT = {
    "work": "score", "of": "mplug", "unit": "question", "done": 3, "total": 9, "items_done": 1,
    "items": 3, "failed": 0, "per_second": 1.5, "seconds_left": 4.0, "process": 7, "host": "h",
    "started": "2026-01-01T00:00:00+00:00", "updated": "2026-01-01T00:00:02+00:00",
}  # fmt: skip
_reader(
    "heartbeat",
    ".progress.json",
    "json",
    lambda: [json.dumps(_HEARTBEAT).encode()],
    _heartbeat,
    errors=(),
    examples=40,
)
_reader(
    "owner of a run",
    ".owner",
    "json",
    lambda: [b'{"host": "h", "process": 7, "token": "x"}'],
    _owner,
    errors=(),
    examples=40,
)
_reader(
    "what was set aside",
    "set-aside/2026/why.jsonl",
    "lines",
    lambda: [
        b'{"path": "images/a1.png", "reason": "x", "lines": null, "item_id": "a1"}\n'
        b'{"path": "answers/j.jsonl", "reason": "y", "lines": [1, 3]}\n'
    ],
    _set_aside,
    errors=(),
    examples=40,
)
_reader(
    "lines one by one",
    "answers.jsonl",
    "lines",
    lambda: [sound.ANSWER_LINES],
    _lines,
    errors=(),
    check=_every_line_is_seen,
)
_reader(
    "order of the image log",
    "images.jsonl",
    "lines",
    lambda: [sound.run_file("images.jsonl")],
    _ordered,
    check=_no_line_is_lost,
    examples=40,
)


# -- the cache ----------------------------------------------------------------------------------


def _questions_source(path: Path) -> Any:
    from dpgbench.store.benchmarks import questions_source

    return questions_source(path.parent)


def _hashes(path: Path) -> Any:
    from dpgbench.store.hashes import _Memory

    big = path.with_name("big")
    with big.open("wb") as file:
        file.truncate(17 * MEBIBYTE)
    os.utime(big, ns=(0, 0))
    path.write_bytes(path.read_bytes().replace(b"BIG", str(big.resolve()).encode()))
    memory = _Memory(path)
    digest = memory.sha256(big)
    memory.save()
    return digest


def _is_digest(_path: Path, digest: Any) -> None:
    assert isinstance(digest, str)
    assert len(digest) == 64


def _marker(path: Path) -> Any:
    from dpgbench.backends.entries import ModelScope
    from dpgbench.backends.weights.modelscope import _is_complete, is_of_revision

    source = ModelScope("a/b", "x", ("config.yaml",))
    return is_of_revision(path.parent, None), _is_complete(path.parent, source, None)


_reader(
    "source of a benchmark",
    "source.json",
    "json",
    lambda: [b'{"questions_from": "https://x", "questions_blob": "0"}'],
    _questions_source,
    errors=(),
    examples=40,
)
_reader(
    "remembered hashes",
    "hashes.json",
    "json",
    lambda: [b'{"BIG|17825792|0": "%s"}' % (b"0" * 64)],
    _hashes,
    errors=(),
    check=_is_digest,
    examples=20,
)
_reader(
    "marker of fetched weights",
    ".fetched.json",
    "json",
    lambda: [b'{"model": "a/b", "revision": null, "files": {"config.yaml": {"size": 3}}}'],
    _marker,
    errors=(),
    examples=40,
)


def _listed(path: Path) -> Any:
    from dpgbench.backends.entries import ModelScope
    from dpgbench.backends.weights.modelscope import fetch

    server = sound.modelscope()
    server.listing = path.read_bytes()
    source = ModelScope("a/b", "x", ("config.yaml",))
    target = path.parent / "fetched"
    shutil.rmtree(target, ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELSCOPE_ENDPOINT", server.url)
        patch.setenv("MODELSCOPE_HOME", str(path.parent / "home"))
        fetch(source, target, say=lambda _line: None)
    return (target / "config.yaml").read_bytes()


def _as_served(_path: Path, content: Any) -> None:
    assert content == sound.modelscope().files["config.yaml"]


_LISTING = {
    "Code": 200,
    "Data": {
        "Files": [
            {"Path": "description", "Type": "tree", "Size": 0},
            {"Path": "config.yaml", "Name": "config.yaml", "Type": "blob", "Size": 13,
             "Sha256": "8ff1d3d2a5e6dcdbb5ab0a7c32ed73d5ad0dbd2b5b9a1a7ebb1b1d0c6b1c0a10"},
        ]
    },
}  # fmt: skip


def _listings() -> list[bytes]:
    import copy
    import hashlib

    right: Any = copy.deepcopy(_LISTING)
    content = sound.modelscope().files["config.yaml"]
    right["Data"]["Files"][1]["Sha256"] = hashlib.sha256(content).hexdigest()
    return [json.dumps(right).encode(), json.dumps(_LISTING).encode()]


_reader(
    "list of a hub",
    "list.json",
    "json",
    _listings,
    _listed,
    check=_as_served,
    names_file=False,
    bounds=Bounds(fixed_bytes=128 * MEBIBYTE),
    examples=30,
)


def _pull(path: Path) -> Any:
    from dpgbench.store.pull import pull

    wanted, _ = sound.upstream()
    target = path.parent / "cache" / "dpg"
    shutil.rmtree(target.parent, ignore_errors=True)
    pulled = pull(str(path), target, wanted)
    return pulled, target


def _pulled(_path: Path, value: Any) -> None:
    """Whatever was stored is upstream's, to the byte."""
    _, files = sound.upstream()
    pulled, target = value
    assert pulled.num_prompts in (0, 2)
    for name, data in files.items():
        stored = target / name.removeprefix("dpg_bench/")
        assert not stored.exists() or stored.read_bytes() == data


for _form, _kind in (("zip", "zip"), ("tar", "bytes"), ("tar.gz", "bytes"), ("tar.xz", "bytes"),
                     ("tar.bz2", "bytes")):  # fmt: skip
    _reader(
        f"pulled {_form}",
        f"x.{_form}",
        _kind,
        lambda form=_form: [sound.archive(form)],
        _pull,
        check=_pulled,
        examples=40,
    )
_reader(
    "pulled questions",
    "dpg_bench.csv",
    "text",
    lambda: [sound.BENCHMARK],
    _pull,
    check=_pulled,
    examples=30,
)


# -- pictures -----------------------------------------------------------------------------------

_OF_PICTURES = Bounds(fixed_bytes=96 * MEBIBYTE, factor=100)


def _picture(path: Path) -> Any:
    from dpgbench.domain.spec import GridSpec
    from dpgbench.store.images import is_whole, open_picture, read_picture_size, read_size

    is_whole(path, GridSpec(4, 4, 3))
    read_size(path)
    try:
        size = read_picture_size(path)
    except DpgBenchError:
        size = None
    picture = open_picture(path)
    assert size == picture.size, (size, picture.size)
    return picture


def _same_picture(path: Path, picture: Any) -> None:
    from dpgbench.store.images import open_picture, png_bytes

    assert picture.mode == "RGB"
    assert open_picture(path.read_bytes()).tobytes() == picture.tobytes()
    assert open_picture(png_bytes(picture)).tobytes() == picture.tobytes()


_reader(
    "PNG",
    "a.png",
    "png",
    lambda: [
        *(sound.picture("PNG", mode) for mode in ("RGB", "RGBA", "L", "P", "1", "I;16")),
        sound.animated_png(),
    ],
    _picture,
    check=_same_picture,
    bounds=_OF_PICTURES,
    examples=150,
)
_reader(
    "JPEG",
    "a.jpg",
    "bytes",
    lambda: [sound.picture("JPEG"), sound.picture("JPEG", "CMYK")],
    _picture,
    check=_same_picture,
    bounds=_OF_PICTURES,
)
_reader(
    "WebP",
    "a.webp",
    "bytes",
    lambda: [sound.picture("WEBP", "RGBA")],
    _picture,
    check=_same_picture,
    bounds=_OF_PICTURES,
)


def _other_picture(path: Path) -> Any:
    from dpgbench.store.images import open_picture

    try:
        return open_picture(path)
    except DpgBenchError:
        return None


_reader(
    "other pictures",
    "a.png",
    "bytes",
    lambda: [sound.picture("GIF", "P"), sound.picture("TIFF"), sound.picture("BMP")],
    _other_picture,
    bounds=_OF_PICTURES,
    examples=40,
)


# -- networks' files ----------------------------------------------------------------------------


def _beside_mplug(folder: Path) -> None:
    for path in sound.mplug_folder().iterdir():
        if path.suffix in (".json", ".yaml", ".txt"):
            shutil.copy(path, folder / path.name)


def _mplug_file(name: str) -> Callable[[], list[bytes]]:
    return lambda: [(sound.mplug_folder() / name).read_bytes()]


def _mplug_config(path: Path) -> Any:
    import torch

    from dpgbench.mplug import Mplug, MplugConfig
    from dpgbench.mplug.config import has_bert_config
    from dpgbench.mplug.processing import MplugProcessor

    has_bert_config(path.parent)
    config = MplugConfig.from_folder(path.parent)
    with torch.device("meta"):
        Mplug(config)
    MplugProcessor.from_folder(path.parent, config)
    return config


def _sound_config(_path: Path, config: Any) -> None:
    assert math.isfinite(config.norm_eps)


def _mplug_weights(path: Path) -> Any:
    from dpgbench.mplug import MplugConfig
    from dpgbench.mplug.checkpoint import file_hashes, load_network

    file_hashes(path.parent)
    return load_network(path.parent, MplugConfig.from_folder(path.parent))


def _mplug_error() -> tuple[type[BaseException], ...]:
    from dpgbench.mplug.errors import CheckpointError

    return (CheckpointError,)


_OF_NETWORKS = Bounds(fixed_bytes=128 * MEBIBYTE, factor=100)
# What a configuration says of a network's size is what the network takes.
_OF_FOLDERS = Bounds(fixed_bytes=3 * 1024 * MEBIBYTE, factor=100, seconds=30.0)

for _name, _kind in (("config.yaml", "text"), ("config_bert.json", "json"),
                     ("configuration.json", "json"), ("vocab.txt", "text")):  # fmt: skip
    _reader(
        f"mplug {_name}",
        _name,
        _kind,
        _mplug_file(_name),
        _mplug_config,
        errors=_mplug_error(),
        check=_sound_config,
        beside=_beside_mplug,
        bounds=_OF_NETWORKS,
        names_file=False,
    )
_reader(
    "mplug pickle",
    "pytorch_model.bin",
    "zip",
    lambda: [sound.pickled(new=True)],
    _mplug_weights,
    errors=_mplug_error(),
    beside=_beside_mplug,
    bounds=_OF_NETWORKS,
)
_reader(
    "mplug old pickle",
    "pytorch_model.bin",
    "bytes",
    lambda: [sound.pickled(new=False)],
    _mplug_weights,
    errors=_mplug_error(),
    beside=_beside_mplug,
    bounds=_OF_NETWORKS,
)
_reader(
    "mplug safetensors",
    "model.safetensors",
    "safetensors",
    lambda: [sound.small_tensors()],
    _mplug_weights,
    errors=_mplug_error(),
    beside=_beside_mplug,
    bounds=_OF_NETWORKS,
)


def _ella_errors() -> tuple[type[BaseException], ...]:
    from ella.errors import EllaError

    return (EllaError,)


def _connector(path: Path) -> Any:
    import warnings

    from ella import TimestepAwareSemanticConnector
    from ella.connector_file import read_trained_text

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        connector = TimestepAwareSemanticConnector.from_safetensors(path)
    read_trained_text(path, forgive=True)
    return connector


def _same_connector(path: Path, connector: Any) -> None:
    import torch

    again = path.with_name("again.safetensors")
    connector.save_safetensors(again)
    second = _connector(again)
    assert second.config == connector.config
    for name, tensor in connector.state_dict().items():
        assert torch.equal(tensor.nan_to_num(), second.state_dict()[name].nan_to_num())


def _training_checkpoint(path: Path) -> Any:
    from ella.training.checkpoints import Checkpoints

    return Checkpoints(path.parent, 2).load_last({"seed": 0})


def _shard(path: Path) -> Any:
    from ella.training.cache import TensorCache

    cache: Any = TensorCache(lambda _items: [], folder=path.parent)
    return [cache[name] for name in ("b",) if name in cache]


def _captions(path: Path) -> Any:
    from ella.training.data import FolderPairs, texts_digest

    pairs = FolderPairs(path.parent)
    texts_digest(pairs)
    return [
        (pairs.text(index), pairs.image_key(index), pairs.image(index))
        for index in range(len(pairs))
    ]


def _picture_beside(folder: Path) -> None:
    (folder / "a.png").write_bytes(sound.picture("PNG"))


def _training_picture(path: Path) -> Any:
    from ella.training.data import FolderPairs, to_pixels

    return to_pixels(FolderPairs(path.parent).image(0), 8)


def _captions_beside(folder: Path) -> None:
    (folder / "captions.csv").write_text("file,text\na.png,a cube\n")


_reader(
    "ella connector",
    "c.safetensors",
    "safetensors",
    lambda: [sound.connector()],
    _connector,
    errors=_ella_errors(),
    check=_same_connector,
    bounds=_OF_NETWORKS,
)
_reader(
    "ella checkpoint",
    "run/step-00000003.safetensors",
    "safetensors",
    lambda: [sound.checkpoint()],
    _training_checkpoint,
    errors=_ella_errors(),
)
_reader(
    "ella shard",
    "shards/x.safetensors",
    "safetensors",
    lambda: [sound.small_tensors()],
    _shard,
    errors=_ella_errors(),
)
_reader(
    "ella captions.csv",
    "csv/captions.csv",
    "table",
    lambda: [b'file,text\na.png,"a cube, purple"\na.png,two\n'],
    _captions,
    errors=_ella_errors(),
    beside=_picture_beside,
    names_file=False,
)
_reader(
    "ella captions.jsonl",
    "jsonl/captions.jsonl",
    "lines",
    lambda: [b'{"file": "a.png", "text": "a cube"}\n{"file": "a.png", "text": "two"}\n'],
    _captions,
    errors=_ella_errors(),
    beside=_picture_beside,
    names_file=False,
)
_reader(
    "ella picture",
    "pictures/a.png",
    "png",
    lambda: [sound.picture("PNG", "RGBA"), sound.picture("PNG", "I;16"), sound.animated_png()],
    _training_picture,
    errors=_ella_errors(),
    beside=_captions_beside,
    bounds=_OF_PICTURES,
)


def _ella_folder(path: Path) -> Any:
    from ella.saving import _read_settings

    return _read_settings(path)


def _sound_settings(_path: Path, settings: Any) -> None:
    assert type(settings["fixed_length"]) is int
    assert type(settings["mask_padding"]) is bool


def _metrics(path: Path) -> Any:
    from ella.training.metrics import MetricsLog

    MetricsLog(path, 7)
    return path.read_bytes()


def _no_later_step(_path: Path, content: Any) -> None:
    for line in content.decode("utf-8").splitlines():
        assert float(json.loads(line)["step"]) <= 7


_reader(
    "ella settings",
    "ella.json",
    "json",
    lambda: [b'{"fixed_length": 128, "mask_padding": true, "hidden_layer": null}'],
    _ella_folder,
    errors=_ella_errors(),
    check=_sound_settings,
    examples=40,
)
_reader(
    "ella metrics",
    "metrics.jsonl",
    "lines",
    lambda: [b'{"step": 1, "loss": 0.5}\n{"step": 8, "loss": NaN}\n'],
    _metrics,
    errors=(),
    check=_no_later_step,
    examples=40,
)


def _single_file(path: Path) -> Any:
    from dpgbench.backends.generators.single_file import check_single_file

    check_single_file(path)


def _judge_config(path: Path) -> Any:
    from dpgbench.backends.judges.hf.files import ModelFiles
    from dpgbench.backends.judges.hf.load import find_family

    files = ModelFiles("judge hf:x", path.parent, "x", None)
    files.describe()
    return find_family(files)


@sound.cache
def _whole_checkpoint() -> bytes:
    import torch
    from safetensors.torch import save

    names = (
        "model.diffusion_model.input_blocks.0.0.weight",
        "first_stage_model.x",
        "cond_stage_model.y",
        "model.diffusion_model.attn2.to_k.weight",
    )
    return bytes(save({name: torch.zeros(2, 4) for name in names}))


_reader(
    "single checkpoint", "m.safetensors", "safetensors", lambda: [_whole_checkpoint()], _single_file
)
_reader(
    "judge's config.json",
    "config.json",
    "json",
    lambda: [b'{"model_type": "blip", "architectures": ["BlipForQuestionAnswering"]}'],
    _judge_config,
    bounds=_OF_NETWORKS,
    names_file=False,
)


def _beside(place: Callable[[], Path]) -> Callable[[Path], None]:
    """Return what puts a copy of a whole folder there."""
    return lambda folder: shutil.copytree(place(), folder, dirs_exist_ok=True) and None


def _text_encoder(path: Path) -> Any:
    from ella import T5TextEncoder

    encoder = T5TextEncoder.from_pretrained(path.parent)
    return encoder.encode(["a red circle", ""], "flexible")


def _vision_judge(path: Path) -> Any:
    from dpgbench.backends.judges.request import judge_request, load_judge

    return load_judge(judge_request(f"hf:{path.parent}", device="cpu"))


for _name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
    _reader(
        f"text encoder's {_name}",
        f"t5/{_name}",
        "safetensors" if _name.endswith("tensors") else "json",
        lambda name=_name: [(sound.text_encoder() / name).read_bytes()],
        _text_encoder,
        errors=_ella_errors(),
        beside=_beside(sound.text_encoder),
        names_file=False,
        bounds=_OF_FOLDERS,
        examples=6,
    )
for _name in ("config.json", "tokenizer.json", "tokenizer_config.json", "processor_config.json"):
    _reader(
        f"vision judge's {_name}",
        f"vlm/{_name}",
        "json",
        lambda name=_name: [(sound.vision_judge() / name).read_bytes()],
        _vision_judge,
        beside=_beside(sound.vision_judge),
        names_file=False,
        bounds=_OF_FOLDERS,
        examples=6,
    )


# -- requests to a server -----------------------------------------------------------------------


def _refused_requests() -> tuple[type[BaseException], ...]:
    from dpgbench.server.limits import RefusedRequestError

    return (RefusedRequestError,)


def _request(content_type: str) -> Read:
    """Return what asks a server's service for scores by a body."""

    def read(path: Path) -> Any:
        import asyncio

        from dpgbench.server.limits import Body, RefusedRequestError

        service = sound.service()
        body = Body(service.bodies)
        body.add(path.read_bytes())
        try:
            return asyncio.run(asyncio.wait_for(service.score_json(content_type, body), 30))
        except RefusedRequestError as error:
            assert error.status in (400, 413, 415, 422), error
            raise
        finally:
            body.release()

    return read


def _sound_scores(_path: Path, reply: Any) -> None:
    """A reply is JSON, its scores are in range, and nothing of the request is held any more."""
    text = json.dumps(reply, allow_nan=False)
    text.encode()
    for item in reply["items"]:
        for score in item["scores"].values():
            assert score["score"] is None or 0 <= score["score"] <= 100
    service = sound.service()
    assert (service.queue.taken, service.bodies.taken) == (0, 0)


_reader(
    "request in JSON",
    "body",
    "json",
    lambda: [sound.score_request()],
    _request("application/json"),
    errors=_refused_requests(),
    check=_sound_scores,
    names_file=False,
    bounds=_OF_PICTURES,
    examples=80,
)
_reader(
    "request as a form",
    "body",
    "bytes",
    lambda: [sound.score_form()],
    _request("multipart/form-data; boundary=XX"),
    errors=_refused_requests(),
    check=_sound_scores,
    names_file=False,
    bounds=_OF_PICTURES,
)


# -- words of servers and models ----------------------------------------------------------------


def _reply(path: Path) -> Any:
    from dpgbench.backends import openai_server
    from dpgbench.backends.judges.openai import client

    body = openai_server.json_object(path.read_bytes())
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if body.get("error"):
        openai_server.status_of(body["error"])
    return client._completion(choice) if isinstance(choice, dict) else None


def _sound_reply(_path: Path, completion: Any) -> None:
    from dpgbench.backends.judges.openai.parsing import read

    if completion is None:
        return
    assert completion.p_yes is None or 0 <= completion.p_yes <= 1
    for number, words in read(completion.text, [1, 2], 2).items():
        assert number in (1, 2)
        words.encode()


def _words(path: Path) -> Any:
    from dpgbench.backends.judges import answer_reading as reading
    from dpgbench.backends.judges.openai.parsing import read
    from dpgbench.domain.answer_text import is_missing, read_yes_no

    text = path.read_bytes().decode("utf-8", "surrogateescape")
    is_missing(text)
    read_yes_no(text)
    reading.first_word_answer(text)
    reading.first_word_settled(text)
    for asked, count in (([1], 1), ([1, 2, 3], 3), ([2], 3)):
        for words in read(text, asked, count).values():
            reading.plain_answer(words)
    return reading.plain_answer(text), reading.kept(text)


def _kept_is_harmless(_path: Path, value: Any) -> None:
    from dpgbench.backends.judges.answer_reading import reads_as_either

    _, kept = value
    assert len(kept) <= 200
    assert not reads_as_either(kept)
    kept.encode()


_CHAT = json.dumps(
    {
        "model": "m", "usage": {"prompt_tokens": 3, "completion_tokens": 1},
        "choices": [{
            "finish_reason": "stop", "message": {"role": "assistant", "content": '{"1": "yes"}'},
            "logprobs": {"content": [{"token": "yes", "logprob": -0.1, "top_logprobs": [
                {"token": "yes", "logprob": -0.1}, {"token": "no", "logprob": -2.5}]}]},
        }],
    }
).encode()  # fmt: skip
_reader(
    "chat reply",
    "reply",
    "json",
    lambda: [_CHAT, b'{"error": {"message": "no", "code": 429, "type": "x"}}'],
    _reply,
    errors=(),
    check=_sound_reply,
    examples=150,
)
_reader(
    "words of a model",
    "words",
    "text",
    lambda: [
        b'<think>so...</think> {"1": "yes", "2": "no", "3": "yes"}',
        b"1. Yes\n2) no\n- 3: yes",
        rb"\boxed{\text{yes}}",
        b"<answer>no</answer></s>",
        b"<|channel|>analysis<|message|>x<|end|><|channel|>final<|message|>yes<|return|>",
    ],
    _words,
    errors=(),
    check=_kept_is_harmless,
    examples=150,
)
