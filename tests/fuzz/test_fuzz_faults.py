"""What fuzzing has brought to light: the smallest example of each fault, mended for good."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import time
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpgbench.backends.judges.answer_checks import JudgeContractError, checked_answers
from dpgbench.backends.judges.answer_reading import kept, reads_as_either
from dpgbench.backends.judges.hf.files import ModelFiles
from dpgbench.backends.judges.hf.load import find_family
from dpgbench.backends.judges.messages import JudgeAnswer, TileQuestions
from dpgbench.errors import DataError, SetupError
from dpgbench.mplug import MplugConfig
from dpgbench.mplug.checkpoint import read_tensors
from dpgbench.mplug.errors import CheckpointError
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.run.image_log import read_image_log
from dpgbench.store.run.manifest import read_manifest
from ella import T5TextEncoder
from ella.errors import EllaError, ResumeError, TextEncoderError, TrainingDataError
from ella.saving import load_pretrained
from ella.training.checkpoints import Checkpoints
from ella.training.data import FolderPairs, texts_digest
from ella.training.metrics import MetricsLog
from tests.fuzz import sound
from tests.fuzz.examine import LONGEST_MESSAGE, check_message
from tests.fuzz.readers import READERS
from tests.helpers import Run


def test_a_number_beyond_floats_is_refused_where_it_is_read(tmp_path: Path) -> None:
    """It was read as infinity, and the run could not be written any more."""
    (tmp_path / "images.jsonl").write_text('{"item_id": "a", "more": 1e400}\n')
    with pytest.raises(DataError, match=r"images\.jsonl line 1 is not a JSON object"):
        read_image_log(tmp_path / "images.jsonl")
    record = json.loads(sound.manifest("generated"))
    record["identity"]["generation"]["options"] = {"x": 12345.5}
    (tmp_path / "manifest.json").write_text(json.dumps(record).replace("12345.5", "1e400"))
    with pytest.raises(DataError, match=r"manifest\.json is not valid JSON \('1e400' is larger"):
        read_manifest(tmp_path / "manifest.json")


@pytest.mark.parametrize("error", [DataError, CheckpointError, TrainingDataError])
def test_a_message_is_as_long_as_can_be_read(error: type[Exception]) -> None:
    message = str(error(f"the start: {'x' * 10**6}\n\x1b[31m\u202e; the end"))
    assert message.startswith("the start: xxx")
    assert message.endswith("; the end")
    check_message(message)
    assert len(message) == LONGEST_MESSAGE


def test_a_bad_id_in_a_manifest_names_the_manifest(tmp_path: Path) -> None:
    record = json.loads(sound.manifest("generated"))
    (tmp_path / "manifest.json").write_text(json.dumps({**record, "items": [""]}))
    with pytest.raises(DataError, match=r"manifest\.json: items: item id ''"):
        read_manifest(tmp_path / "manifest.json")


def test_a_header_of_many_columns_takes_no_time(tmp_path: Path) -> None:
    columns = ",".join(map(str, range(100_000)))
    (tmp_path / "b.csv").write_text(f"{columns}\n{columns}\n")
    started = time.process_time()
    with pytest.raises(DataError, match="has no column"):
        load_benchmark(tmp_path / "b.csv")
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("config_bert.json", "1e-12", "NaN", "`layer_norm_eps`: expected a number above 0"),
        ("config_bert.json", "1e-12", "1e999", "`layer_norm_eps`: expected a number above 0"),
        ("config_bert.json", "1e-12", "9" * 400, "`layer_norm_eps`: expected a number above 0"),
        ("config_bert.json", '"hidden_size": 32', f'"hidden_size": {10**19}', "at most 1000000"),
        ("config_bert.json", '"num_hidden_layers": 2', '"num_hidden_layers": 300000000',
         "`num_hidden_layers`: expected at most 200"),
        ("config_bert.json", '"num_hidden_layers": 2', f'"x": {"[" * 5000}', "cannot be read"),
        ("config.yaml", "image_res: 56", f"x: {'[' * 5000}", "cannot be read"),
        ("config.yaml", "image_res: 56", f"x: {'y' * 70_000}", "more than 64 KiB"),
        ("config.yaml", "image_res: 56", "image_res: 2001-99-99", "cannot be read"),
    ],
)  # fmt: skip
def test_impossible_sizes_of_a_judge(
    tmp_path: Path, name: str, old: str, new: str, words: str
) -> None:
    """NaN went through and made every answer NaN; huge sizes and depths ended in tracebacks."""
    _spoil_judge(tmp_path, name, old, new)
    with pytest.raises(CheckpointError) as caught:
        MplugConfig.from_folder(tmp_path)
    assert words in str(caught.value)
    assert name in str(caught.value)
    check_message(str(caught.value))


def test_yaml_that_stands_for_gigabytes_is_not_written_out(tmp_path: Path) -> None:
    lists = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12)]
    bomb = "\n".join(["l0: &l0 [lol]", *lists, "image_res: *l11"])
    _spoil_judge(tmp_path, "config.yaml", "image_res: 56", bomb)
    with pytest.raises(CheckpointError, match="`image_res`: expected a whole number"):
        MplugConfig.from_folder(tmp_path)


def _spoil_judge(folder: Path, name: str, old: str, new: str) -> None:
    for path in sound.mplug_folder().iterdir():
        if path.suffix in (".json", ".yaml", ".txt"):
            text = path.read_text()
            assert path.name != name or old in text
            (folder / path.name).write_text(text.replace(old, new) if path.name == name else text)


@pytest.mark.parametrize(
    "content", [b"\x80\x02X\xff", b"\x80\x02r\x00", b"\x80\x02X\xff\xff\xff\x7f"]
)
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.filterwarnings("ignore")
def test_a_pickle_cut_in_an_operation(tmp_path: Path, content: bytes, zipped: bool) -> None:
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(_with_pickle(content) if zipped else content)
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: no weights, or cut short"):
        read_tensors(path)


def test_a_checkpoint_is_not_unpacked(tmp_path: Path) -> None:
    """A file of 30 KB took 150 MB of memory; of 10 MB it would have taken 10 GB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pytorch_model/data.pkl", b"\x00" * 10**6)
    (tmp_path / "pytorch_model.bin").write_bytes(buffer.getvalue())
    with pytest.raises(CheckpointError, match="nothing in it was run"):
        read_tensors(tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"Is a directory"):
        read_tensors(tmp_path)


def _with_pickle(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(sound.pickled(new=True))) as whole,
        zipfile.ZipFile(buffer, "w") as archive,
    ):
        for info in whole.infolist():
            is_pickle = info.filename.endswith("data.pkl")
            archive.writestr(info, content if is_pickle else whole.read(info))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "config",
    [{"model_type": []}, {"model_type": 7}, {"model_type": "blip", "architectures": 1},
     {"model_type": "blip", "architectures": [{}]}, {"model_type": "9" * 5000}],
)  # fmt: skip
def test_a_judges_config_of_other_types(tmp_path: Path, config: dict[str, Any]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(SetupError, match="judge hf:x") as caught:
        find_family(ModelFiles("judge hf:x", tmp_path, "x", None))
    check_message(str(caught.value))


@pytest.mark.parametrize(
    "text",
    [r"\boxed{yes} it was" + " so" * 90 + r" \boxed{no}", r"\boxed{\text{yes}}", "x</think>yes",
     "<answer>no</answer>" + "!" * 300 + "<answer>yes</answer>", "yes" + " " * 300 + "!" * 200],
)  # fmt: skip
def test_what_is_kept_of_an_unclear_answer_is_never_a_clear_one(text: str) -> None:
    """Cut to its first words, an answer in two boxes looked like an answer in one."""
    assert not reads_as_either(kept(text))


@pytest.mark.parametrize("name", ["\x1b[31m", "\u202e.png", "x" * 10_000, "\x00", "\ud800"])
def test_a_caption_whose_file_cannot_be(tmp_path: Path, name: str) -> None:
    (tmp_path / "captions.jsonl").write_text(json.dumps({"file": name, "text": "a cube"}) + "\n")
    with pytest.raises(TrainingDataError, match="row 1") as caught:
        FolderPairs(tmp_path)
    check_message(str(caught.value))


def test_half_a_character_in_a_caption(tmp_path: Path) -> None:
    """Training ended in a traceback when it hashed the captions."""
    (tmp_path / "a.png").write_bytes(sound.picture("PNG"))
    (tmp_path / "captions.jsonl").write_text(r'{"file": "a.png", "text": "a \ud800 cube"}' + "\n")
    pairs = FolderPairs(tmp_path)
    assert pairs.text(0) == "a ? cube"
    texts_digest(pairs)


def test_captions_nested_too_deeply(tmp_path: Path) -> None:
    (tmp_path / "captions.jsonl").write_text("[" * 100_000 + "\n")
    with pytest.raises(TrainingDataError, match="row 1: is no JSON object"):
        FolderPairs(tmp_path)


@pytest.mark.parametrize(
    "body",
    [b'{"Data": {"Files": ["x"]}}', b'{"Data": {"Files": [{"Path": "config.yaml", "Size": "x"}]}}',
     b'{"Data": {"Files": [{"Path": []}]}}', b'{"Data": []}', b"[]", b"1", b"[" * 100_000, b"",
     pytest.param(b'{"Data": {"Files": [{"Path": "config.yaml", "Size": 13, "Sha256": 7}]}}',
                  marks=pytest.mark.slow),  # the client tries again for half a minute
     b'{"Data": {"Files": [{"Path": "config.yaml", "Size": ' + b"9" * 5000 + b"}]}}"],
)  # fmt: skip
def test_a_hub_that_lists_nonsense(tmp_path: Path, body: bytes) -> None:
    """The client's own KeyError or AttributeError came through as a traceback."""
    reader = READERS["list of a hub"]
    (tmp_path / "list.json").write_bytes(body)
    with pytest.raises(SetupError, match="a/b") as caught:
        reader.read(tmp_path / "list.json")
    check_message(str(caught.value))


class _Secretive:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "answer",
    [JudgeAnswer("yes", 10**400), JudgeAnswer("yes", Fraction(10**400)), _Secretive(),
     JudgeAnswer(_Secretive()), JudgeAnswer("yes", _Secretive()),
     JudgeAnswer("yes", None, np.array([True, False]))],
)  # fmt: skip
def test_a_judge_that_answers_with_odd_objects(answer: Any) -> None:
    tile: Any = TileQuestions("a1", 0, None, (1,), ("Is it?",))  # type: ignore[arg-type]
    with pytest.raises(JudgeContractError, match=r"Judge\.ask must return"):
        checked_answers("Judge", [tile], [[answer]])


def test_remembered_hashes_that_are_none_are_made_anew(tmp_path: Path) -> None:
    reader = READERS["remembered hashes"]
    (tmp_path / "hashes.json").write_text('{"BIG|17825792|0": 7}')
    digest = reader.read(tmp_path / "hashes.json")
    assert digest == hashlib.sha256(bytes(17 * 2**20)).hexdigest()


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\n",
        b'{"step": ' + b"9" * 400 + b"}\n",
        b"[" * 100_000 + b"\n",
        b'{"step": NaN}\n',
        b"1",
    ],
)
def test_metrics_that_a_run_cannot_read_are_dropped(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + content)
    MetricsLog(path, 7)
    assert path.read_bytes() == b'{"step": 1}\n'


@pytest.mark.parametrize(
    "about",
    ['{"step": "3", "settings": {}, "scaler": {}}', '{"step": 3, "settings": [], "scaler": {}}',
     '{"step": 3, "settings": {}, "scaler": 7}', "[" * 20_000, "[]"],
)  # fmt: skip
def test_a_training_checkpoint_of_other_types(tmp_path: Path, about: str) -> None:
    (tmp_path / "step-00000003.safetensors").write_bytes(sound.small_tensors(about))
    with pytest.raises(ResumeError, match=r"step-00000003\.safetensors: damaged") as caught:
        Checkpoints(tmp_path, 2).load_last({})
    check_message(str(caught.value))


@pytest.mark.parametrize(
    ("name", "value"), [("fixed_length", "128"), ("mask_padding", 1), ("hidden_layer", "x")]
)
def test_a_saved_ella_of_other_types(tmp_path: Path, name: str, value: object) -> None:
    settings = {"fixed_length": 128, "mask_padding": True, "hidden_layer": None, name: value}
    (tmp_path / "ella.json").write_text(json.dumps(settings))
    with pytest.raises(EllaError, match=r"ella\.json: is not what"):
        load_pretrained(tmp_path, None, "cpu")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("tokenizer.json", "{", '{"": "1.0",'), ("config.json", '"d_ff": 64', '"d_ff": 0.5')],
)
@pytest.mark.filterwarnings("ignore")
def test_a_text_encoder_whose_files_no_library_takes(
    tmp_path: Path, name: str, old: str, new: str
) -> None:
    """Some libraries raise `Exception` itself, or a class of their own."""
    shutil.copytree(sound.text_encoder(), tmp_path, dirs_exist_ok=True)
    text = (tmp_path / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new, 1))
    with pytest.raises(TextEncoderError, match="no T5 encoder with its tokenizer") as caught:
        T5TextEncoder.from_pretrained(tmp_path)
    check_message(str(caught.value))


@pytest.mark.parametrize(
    "words",
    [("prompts", "check", "~nobody-there/b.csv"), ("prompts", "pull", "--from=~nobody-there/x"),
     ("score", "r", "--judge", "hf:~nobody-there/x", "--bench", "shapes"),
     ("score", "r", "--judge", "mplug", "--weights", "judge=~nobody-there", "--bench", "shapes")],
)  # fmt: skip
def test_a_home_that_nobody_has(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "r").mkdir()
    ended = run(*words)
    assert ended.code in (2, 3, 4), ended.err
    assert "~nobody-there" in ended.error or "r has no image" in ended.error
