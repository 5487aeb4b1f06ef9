"""The judge as its users see it: pictures and questions in, answers out."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from dpgbench.mplug import (
    CheckpointError,
    MplugConfig,
    MplugProcessor,
    file_hashes,
    load_mplug,
    write_tiny_checkpoint,
)

QUESTIONS = [
    "Is there a circle?",
    "Is the circle red?",
    "Are all of the squares left of the green triangle?",
    "Is the dog brown?",
    "Is there a house?",
]
COLOURS = ["red", "green", "blue", "white", "black", "purple", "orange"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_checkpoint(folder)
    return folder


@pytest.fixture(scope="module")
def judge(tiny):
    return load_mplug(tiny)


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(3)
    noise = [Image.fromarray(rng.integers(0, 256, (40, 70, 3), dtype=np.uint8)) for _ in range(4)]
    return [*noise, *(Image.new("RGB", (64, 64), colour) for colour in COLOURS)]


def texts(answers):
    return [[answer.text for answer in row] for row in answers]


def test_the_tiny_judge_says_yes_and_no_and_then_ends(judge, pictures):
    answers = judge.ask(pictures, [QUESTIONS] * len(pictures))
    flat = [answer for row in answers for answer in row]
    flat_texts = [answer.text for answer in flat]
    assert set(flat_texts) == {"yes", "no"}
    assert min(flat_texts.count("yes"), flat_texts.count("no")) > len(flat_texts) / 5
    assert all(len(answer.token_ids) == 3 for answer in flat)
    assert any(len(set(row)) == 2 for row in texts(answers)), "questions matter"
    assert any(len(set(row)) == 2 for row in zip(*texts(answers), strict=True)), "pictures matter"


def test_the_tiny_judge_is_the_same_in_every_process(tiny, tmp_path):
    script = "import sys; from dpgbench.mplug import *; write_tiny_checkpoint(sys.argv[1])"
    subprocess.run([sys.executable, "-c", script, tmp_path], check=True)
    assert file_hashes(tmp_path) == file_hashes(tiny)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1_000_000
    write_tiny_checkpoint(tmp_path, seed=1)
    assert file_hashes(tmp_path) != file_hashes(tiny)


def test_a_tiny_judge_that_is_in_use_can_be_written_anew(tmp_path, judge, pictures):
    write_tiny_checkpoint(tmp_path)
    in_use = load_mplug(tmp_path)
    write_tiny_checkpoint(tmp_path, seed=1)
    assert in_use.ask(pictures[:1], [QUESTIONS]) == judge.ask(pictures[:1], [QUESTIONS])


def test_batches_change_nothing(judge, pictures):
    questions = [QUESTIONS[: k % (len(QUESTIONS) + 1)] for k in range(len(pictures))]
    one_by_one = judge.ask(pictures, questions)
    assert [len(row) for row in one_by_one] == [len(row) for row in questions]
    for batch_size in (2, 3, 32):
        together = judge.ask(pictures, questions, batch_size=batch_size)
        assert texts(together) == texts(one_by_one)
        for ours, theirs in zip(together, one_by_one, strict=True):
            assert [a.token_ids for a in ours] == [a.token_ids for a in theirs]
            np.testing.assert_allclose(
                [a.p_yes for a in ours], [a.p_yes for a in theirs], atol=1e-5
            )


def test_an_image_is_encoded_once_for_all_of_its_questions(judge, pictures, monkeypatch):
    seen = []
    encode = judge.network.encode_images
    monkeypatch.setattr(
        judge.network, "encode_images", lambda pixels: seen.append(len(pixels)) or encode(pixels)
    )
    judge.ask(pictures[:3], [QUESTIONS * 30, [], QUESTIONS], batch_size=4)
    assert seen == [2]


def test_p_yes_weighs_yes_against_no_at_the_first_token(judge, pictures):
    answers = judge.ask(pictures, [QUESTIONS] * len(pictures))
    first = judge.ask(pictures, [QUESTIONS] * len(pictures), decode="first-token")
    for ours, theirs in zip(answers, first, strict=True):
        for beam, token in zip(ours, theirs, strict=True):
            assert beam.p_yes == pytest.approx(token.p_yes)
            assert (token.text == "yes") == (token.p_yes > 0.5)
            assert token.token_ids == beam.token_ids[:2]
            assert len(token.token_ids) == 2


def test_p_yes_is_unknown_where_the_vocabulary_lacks_yes(tiny, tmp_path, pictures):
    write_tiny_checkpoint(tmp_path)
    vocabulary = (tmp_path / "vocab.txt").read_text().replace("\nyes\n", "\naye\n")
    (tmp_path / "vocab.txt").write_text(vocabulary)
    answers = load_mplug(tmp_path).ask(pictures, [QUESTIONS] * len(pictures))
    assert {answer.p_yes for row in answers for answer in row} == {None}
    assert {answer.text for row in answers for answer in row} == {"aye", "no"}


def test_questions_that_the_judge_sees_in_part_are_marked(judge, pictures):
    words = ["dog"] * 23
    (answers,) = judge.ask(pictures[:1], [[" ".join(words), " ".join([*words, "cat"]), "dog?"]])
    assert [answer.truncated for answer in answers] == [False, True, False]
    ids = judge.processor.questions([" ".join([*words, "cat"])]).token_ST[0].tolist()
    assert (len(ids), ids[0], ids[-1]) == (25, 101, 102)


def test_special_tokens_in_a_question_are_words(judge):
    ids = judge.processor.questions(["Is [SEP] red [PAD]?"]).token_ST[0].tolist()
    assert ids.count(102) == 1
    assert 0 not in ids[: ids.index(102)]


def test_accents_and_capitals_do_not_count(judge):
    special = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    numbers = {word: i for i, word in enumerate([*special, "a", "cafe", "?"])}
    processor = MplugProcessor(numbers, judge.network.config)
    for text in (
        "a cafe?",
        "A CAFE?",
        "a caf\N{LATIN SMALL LETTER E WITH ACUTE}?",
        "A CafE\u0301?",
    ):
        ids = processor.questions([text]).token_ST[0].tolist()
        assert ids[:5] == [101, numbers["a"], numbers["cafe"], numbers["?"], 102]


def test_an_empty_question_is_answered(judge, pictures):
    (answers,) = judge.ask(pictures[:1], [[""]])
    assert answers[0].text in {"yes", "no"}


def test_answers_read_as_the_published_judge_writes_them(judge):
    words = "no , it is not ##s . ! ? ' do n ##'t dog 's don ##t we 've they 're i 'm n't cat"
    special = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    numbers = {word: i for i, word in enumerate([*special, *words.split()])}
    processor = MplugProcessor(numbers, judge.network.config)

    def text(words):
        return processor.text([101, *(numbers[word] for word in words.split()), 102, 0])

    assert text("no , it is not .") == "no, it is not."
    assert text("is it [MASK] no ? !") == "is it no?!"
    assert text("do n't") == "don't"
    assert text("dog 's") == "dog's"
    assert text("we 've they 're i 'm") == "we've they're i'm"
    assert text("dog ##s do n ##'t") == "dogs don't"
    assert text("do ' n") == "do'n"
    assert processor.text([101, 9999, 102]) == ""
    assert text("no [UNK]") == "no"  # a word that the vocabulary lacks is none of the answer
    assert text("[UNK] [PAD] [CLS] no [MASK]") == "no"
    assert processor.text([101, numbers["no"], 9999, 102]) == "no"


def test_any_mode_of_image_is_seen_as_rgb(judge):
    base = Image.new("L", (30, 20), 130)
    expected = judge.processor.pixels(base.convert("RGB"))
    assert expected.shape == (3, 56, 56)
    assert torch.equal(judge.processor.pixels(base), expected)
    assert torch.equal(judge.processor.pixels(base.convert("RGBA")), expected)
    white = judge.processor.pixels(Image.new("RGB", (5, 5), "white"))
    assert white[0, 0, 0] == pytest.approx((1 - 0.48145466) / 0.26862954)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"questions": [["a?"], ["b?"]]}, "questions: 2 lists for 1 images"),
        ({"questions": ["is there a dog?"]}, "questions: expected a list of texts"),
        ({"batch_size": 0}, "batch_size: expected at least 1, found 0"),
        ({"decode": "greedy"}, "decode: expected 'beam' or 'first-token', found 'greedy'"),
    ],
)
def test_arguments_that_make_no_sense_are_named(judge, pictures, options, message):
    arguments = {"questions": [["is there a dog?"]]} | options
    with pytest.raises(ValueError, match=message):
        judge.ask(pictures[:1], **arguments)


def test_nothing_is_asked_of_no_images(judge):
    assert judge.ask([], []) == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_types_come_close(tiny, judge, pictures, dtype):
    narrow = load_mplug(tiny, dtype=dtype).ask(pictures, [QUESTIONS] * len(pictures))
    wide = judge.ask(pictures, [QUESTIONS] * len(pictures))
    for ours, theirs in zip(narrow, wide, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert math.isclose(a.p_yes, b.p_yes, abs_tol=0.08)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda words: words[:101], r"expected \[CLS\] in line 102, found no line"),
        (lambda words: ["x", *words], r"expected \[PAD\] in line 1, found line 2"),
        (lambda words: [*words, *map(str, range(10, 999))], "lines, but the network's vocab_size"),
    ],
)
def test_a_vocabulary_of_another_network_is_refused(tiny, tmp_path, change, message):
    config = MplugConfig.from_folder(tiny)
    words = (tiny / "vocab.txt").read_text().splitlines()
    (tmp_path / "vocab.txt").write_text("\n".join(change(words)) + "\n")
    with pytest.raises(CheckpointError, match=message):
        MplugProcessor.from_folder(tmp_path, config)


def test_a_vocabulary_may_fill_the_network_and_no_more(tiny, tmp_path):
    config = MplugConfig.from_folder(tiny)
    words = (tiny / "vocab.txt").read_text().splitlines()
    words += [f"more{number}" for number in range(config.vocab_size - len(words))]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    MplugProcessor.from_folder(tmp_path, config)
    (tmp_path / "vocab.txt").write_text("\n".join([*words, "one"]) + "\n")
    says = f"{config.vocab_size + 1} lines, but the network's vocab_size is {config.vocab_size}"
    with pytest.raises(CheckpointError, match=says):
        MplugProcessor.from_folder(tmp_path, config)


def test_a_missing_vocabulary_is_named(tiny, tmp_path):
    with pytest.raises(CheckpointError, match=r"vocab\.txt: not there"):
        MplugProcessor.from_folder(tmp_path, MplugConfig.from_folder(tiny))


def test_a_vocabulary_that_cannot_be_read_says_why(tiny, tmp_path):
    config = MplugConfig.from_folder(tiny)
    (tmp_path / "vocab.txt").write_bytes(b"[PAD]\n\xff\xfe\n")
    with pytest.raises(CheckpointError, match=r"vocab\.txt: not UTF-8 text;"):
        MplugProcessor.from_folder(tmp_path, config)
    (tmp_path / "vocab.txt").unlink()
    (tmp_path / "vocab.txt").mkdir()
    with pytest.raises(CheckpointError, match=r"vocab\.txt: Is a directory;"):
        MplugProcessor.from_folder(tmp_path, config)


@pytest.mark.slow
def test_the_parts_compile_whole(tiny, judge, pictures):
    compiled = load_mplug(tiny)
    for part in ("image_encoder", "text_encoder", "fusion", "decoder"):
        module = getattr(compiled.network, part)
        setattr(compiled.network, part, torch.compile(module, backend="eager", fullgraph=True))
    assert compiled.ask(pictures[:2], [QUESTIONS] * 2) == judge.ask(pictures[:2], [QUESTIONS] * 2)
