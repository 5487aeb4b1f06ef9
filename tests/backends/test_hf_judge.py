"""Hugging Face models as judges: tiny networks of real classes, against transformers itself."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image

from dpgbench.backends.device import single_thread
from dpgbench.backends.judges.answer_reading import first_word_answer
from dpgbench.backends.judges.hf.answers import CHAT, WITHOUT_CHAT, AnswerTokens, word_ids
from dpgbench.backends.judges.hf.generation import SharedPrefix
from dpgbench.backends.judges.hf.judge import HfJudge
from dpgbench.backends.protocols import JudgeAnswer, JudgeRequest, TileQuestions
from dpgbench.store.run.directory import RunDir
from tests.backends.tiny_vlms import WRITERS
from tests.helpers import Run, row, write_csv

QUESTIONS = (
    "Is there a red circle?",
    "Are the two large dogs beside the tree left of the blue square?",
    "Is it x?",
    "Yes or no?",
    "Is there a picture of a tree with dogs in it?",
)
METHODS = {
    "llava": "keys",
    "idefics3": "keys",
    "qwen2_vl": "keys",
    "internvl": "keys",
    "paligemma": "features",
}
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # PaliGemma's processor
Folder = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with single_thread():
        yield


@pytest.fixture(scope="module")
def vlm(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Return the folder of a tiny model of a family, made once."""
    home = tmp_path_factory.mktemp("vlms")

    def write(family: str) -> Path:
        folder = home / family
        return folder if folder.exists() else WRITERS[family](folder)

    return write


def picture(seed: int, size: tuple[int, int] = (70, 50)) -> Image.Image:
    noise = Image.frombytes("RGB", (6, 5), random.Random(seed).randbytes(90))
    return noise.resize(size, Image.Resampling.NEAREST)


def tile(seed: int, questions: tuple[str, ...] = QUESTIONS, prepared: Any = None) -> TileQuestions:
    qids = tuple(range(1, len(questions) + 1))
    return TileQuestions(f"it{seed}", 0, picture(seed), qids, questions, prepared)


def judge_of(folder: Path, **fields: Any) -> HfJudge:
    return HfJudge(JudgeRequest(f"hf:{folder}", device="cpu", **fields))


def assert_same(ours: list[JudgeAnswer], wanted: list[JudgeAnswer]) -> None:
    assert [answer.text for answer in ours] == [answer.text for answer in wanted]
    p_yes = [answer.p_yes for answer in wanted]
    assert [answer.p_yes for answer in ours] == pytest.approx(p_yes, abs=1e-4)


@pytest.mark.parametrize("family", WRITERS)
def test_scores_a_folder_of_pictures(run: Run, tmp_path: Path, vlm: Folder, family: str) -> None:
    rows = [
        row(f"it{n}", q + 1, question_natural_language=text)
        for n in range(2)
        for q, text in enumerate(QUESTIONS)
    ]
    write_csv(tmp_path / "b.csv", rows)
    (tmp_path / "pictures").mkdir()
    for n in range(2):
        picture(n, (64, 64)).save(tmp_path / f"pictures/it{n}.png")
    shutil.copytree(vlm(family), tmp_path / family)
    words = ("score", "pictures", "--bench", "b.csv", "--num-images", 1, "--out", "r", "--json")
    words += ("--judge", f"hf:{family}", "--device", "cpu")
    ended = run(*words)
    lines = RunDir(tmp_path / "r").answers(f"hf:{family}").read_text()
    answers = [json.loads(line) for line in lines.splitlines()]
    empty = 2 * len(QUESTIONS) - len(answers)  # what says nothing is no answer
    assert ("empty answer" in ended.err) == (empty > 0)
    for answer in answers:
        assert 0 <= answer["p_yes"] <= 1
        assert ("invalid" in answer) == (answer["answer"] not in ("yes", "no"))
    invalid = sum("invalid" in answer for answer in answers)
    warned = json.loads(ended.out)["results"][0]["warnings"].get("invalid_answers", 0)
    assert warned == invalid < len(answers)
    assert ended.code == (6 if empty or invalid > len(answers) / 5 else 0), ended.err
    record = json.loads((tmp_path / "r/manifest.json").read_text())["judges"][f"hf:{family}"]
    assert record["model"] == f"folder {family}"
    assert len(record["weights"]["model.safetensors"]) == 64
    assert "{question}" in record["prompt"]["template"]
    assert record["dtype"] == "float32"
    assert json.loads(run(*words).out)["results"] == json.loads(ended.out)["results"]
    assert RunDir(tmp_path / "r").answers(f"hf:{family}").read_text() == lines


@pytest.mark.slow
def test_sigterm_keeps_the_tiles_under_way_and_the_rest_is_asked_later(
    vlm: Folder, tmp_path: Path
) -> None:
    rows = [
        row(f"it{n}", q + 1, question_natural_language=text)
        for n in range(40)
        for q, text in enumerate(QUESTIONS)
    ]
    write_csv(tmp_path / "b.csv", rows)
    (tmp_path / "pictures").mkdir()
    for n in range(40):
        picture(n, (64, 64)).save(tmp_path / f"pictures/it{n}.png")
    shutil.copytree(vlm("llava"), tmp_path / "llava")
    words = ("score", "pictures", "--bench", "b.csv", "--num-images", "1", "--judge", "hf:llava")
    command = [sys.executable, "-m", "dpgbench", *words, "--device", "cpu", "--partial", "--out"]
    subprocess.run([*command, "whole"], cwd=tmp_path, capture_output=True, check=False)
    wanted = RunDir(tmp_path / "whole").answers("hf:llava").read_text()
    process = subprocess.Popen(
        [*command, "r"], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    log = RunDir(tmp_path / "r").answers("hf:llava")
    deadline = time.monotonic() + 60
    while (not log.exists() or not log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=25)
    assert process.returncode == 143, err
    assert "Traceback" not in err
    there = log.read_text()
    assert there and there.endswith("\n")
    assert len(there) < len(wanted)
    by_item = Counter(json.loads(line)["item_id"] for line in there.splitlines())
    whole = Counter(json.loads(line)["item_id"] for line in wanted.splitlines())
    assert all(by_item[item] == whole[item] for item in by_item)  # no picture was broken off
    subprocess.run([*command, "r"], cwd=tmp_path, capture_output=True, check=False)
    assert log.read_text() == wanted


def test_llava_answers_as_transformers_does(vlm: Folder) -> None:
    folder = vlm("llava")
    ours = judge_of(folder).ask([tile(3)])[0]
    model = transformers.LlavaForConditionalGeneration.from_pretrained(folder)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    for answer, question in zip(ours, QUESTIONS, strict=True):
        text = f"USER: <image>\n{CHAT.put(question)} ASSISTANT:"
        inputs = processor(images=picture(3), text=text, return_tensors="pt")
        with torch.no_grad():
            p = model(**inputs).logits[0, -1].softmax(-1)
            generated = model.generate(**inputs, max_new_tokens=8, do_sample=False)
        yes = p[word_ids(processor.tokenizer, "yes")].sum()
        no = p[word_ids(processor.tokenizer, "no")].sum()
        assert answer.p_yes == pytest.approx(float(yes / (yes + no)), abs=1e-5)
        words = processor.decode(
            generated[0, inputs.input_ids.shape[1] :], skip_special_tokens=True
        )
        assert answer.text == (first_word_answer(words) or answer.text)
        assert answer.invalid == (first_word_answer(words) is None)


def test_blip_answers_as_transformers_does(vlm: Folder) -> None:
    folder = vlm("blip")
    ours = judge_of(folder).ask([tile(3), tile(4, ()), tile(5, QUESTIONS[:2])])
    assert [len(answers) for answers in ours] == [5, 0, 2]
    model = transformers.BlipForQuestionAnswering.from_pretrained(folder).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    answer_tokens = AnswerTokens(processor.tokenizer, [3], 0)
    for seed, answers in ((3, ours[0]), (5, ours[2])):
        for answer, question in zip(answers, QUESTIONS, strict=False):
            inputs = processor(images=picture(seed), text=question, return_tensors="pt")
            generated = model.generate(
                **inputs, max_new_tokens=8, output_logits=True, return_dict_in_generate=True
            )
            words = processor.decode(generated.sequences[0], skip_special_tokens=True)
            assert answer.text == (first_word_answer(words) or answer.text)
            assert [answer.p_yes] == pytest.approx(
                answer_tokens.p_yes(generated.logits[0]), abs=1e-5
            )


@pytest.mark.parametrize(("family", "method"), METHODS.items())
def test_an_image_is_read_once_and_answers_are_those_of_reading_it_anew(
    vlm: Folder, family: str, method: str
) -> None:
    judge = judge_of(vlm(family))
    answerer: Any = judge.answerer
    assert answerer.method == method
    inner = answerer.model.base_model
    trunk = next(
        getattr(inner, n) for n in ("vision_tower", "visual", "vision_model") if hasattr(inner, n)
    )
    reads = []
    trunk.register_forward_hook(lambda module, args, out: reads.append(module))
    for seed in range(3):
        answerer.method = method
        shared = judge.ask([tile(seed)])[0]
        assert len(reads) == seed + 1
        seen = len(reads)
        answerer.method = "plain"
        assert_same(shared, judge.ask([tile(seed)])[0])
        del reads[seen:]


@pytest.mark.parametrize("family", WRITERS)
def test_an_answer_depends_on_nothing_else_in_the_batch(vlm: Folder, family: str) -> None:
    judge = judge_of(vlm(family), batch_size=2)
    together = judge.ask([tile(1), tile(2)])
    for seed, answers in zip((1, 2), together, strict=True):
        alone = [judge.ask([tile(seed, (question,))])[0][0] for question in QUESTIONS]
        assert_same(answers, alone)
        ahead = judge.ask([tile(seed, prepared=judge.prepare(picture(seed)))])[0]
        assert_same(ahead, answers)
    assert [a.p_yes for a in together[0]] != [a.p_yes for a in together[1]]  # the image counts


def test_a_method_that_answers_otherwise_is_not_taken(
    vlm: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = judge_of(vlm("llava")).ask([tile(1)])[0]
    step = SharedPrefix._step

    def misplaced(self: Any, ids: Any, seen: Any, positions: Any, cache: Any) -> Any:
        return step(self, ids, seen, positions + 1, cache)

    monkeypatch.setattr(SharedPrefix, "_step", misplaced)
    judge = judge_of(vlm("llava"))
    assert judge.answerer.method == "features"  # type: ignore[union-attr]
    assert_same(judge.ask([tile(1)])[0], right)


def test_a_batch_that_does_not_fit_is_halved(vlm: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = judge_of(vlm("llava"))
    right = judge.ask([tile(1)])[0]
    generate, room = SharedPrefix.generate, 2

    def cramped(self: Any, rows: Any) -> Any:
        if len(rows) > room:
            raise torch.OutOfMemoryError("out of memory")
        return generate(self, rows)

    monkeypatch.setattr(SharedPrefix, "generate", cramped)
    assert_same(judge.ask([tile(1)])[0], right)
    assert judge.answerer.at_once == 2  # type: ignore[union-attr]
    room = 0
    with pytest.raises(torch.OutOfMemoryError):
        judge.ask([tile(1)])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(vlm: Folder, dtype: str) -> None:
    exact = judge_of(vlm("idefics3")).ask([tile(1)])[0]
    judge = judge_of(vlm("idefics3"), dtype=dtype)
    assert judge.describe()["dtype"] == dtype
    assert [a.p_yes for a in judge.ask([tile(1)])[0]] == pytest.approx(
        [a.p_yes for a in exact], abs=0.1
    )


def test_a_question_that_blip_does_not_read_to_its_end(vlm: Folder) -> None:
    answers = judge_of(vlm("blip")).ask([tile(1, ("Is it red?", "is there " * 20))])[0]
    assert [answer.truncated for answer in answers] == [False, True]


def test_what_counts_as_yes_or_no() -> None:
    for text in ("yes", "Yes.", " YES, there is", "**yes**", "_yes_", "Yes\nbecause"):
        assert first_word_answer(text) == "yes"
    for text in ("no", "No", "NO!", "(no)"):
        assert first_word_answer(text) == "no"
    for text in ("", "not at all", "yesterday", "noyes", "The answer is yes", "y"):
        assert first_word_answer(text) is None


def test_the_page_shows_the_prompts() -> None:
    page = (Path(__file__).parents[2] / "docs/judges-hf.md").read_text(encoding="utf-8")
    for prompt in (CHAT, *WITHOUT_CHAT.values()):
        assert f"`{prompt.version}`" in page
        assert prompt.template.replace("\n", "⏎") in page
