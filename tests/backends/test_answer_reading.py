"""What the free words of models in use say, whichever back end they come from."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpgbench.backends.judges.answer_reading import (
    first_word_answer,
    first_word_settled,
    kept,
    plain_answer,
)
from dpgbench.domain.answer_text import read_yes_no

THOUGHTS = (
    "<think>{}</think>",
    "<thinking>{}</thinking>",
    "<thought>{}</thought>",
    "<reasoning>{}</reasoning>",
    "<seed:think>{}</seed:think>",
    "◁think▷{}◁/think▷",
    "[THINK]{}[/THINK]",
    "<|begin_of_thought|>{}<|end_of_thought|>",
    "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>",
    "{}</think>",  # begun by the prompt
    "{}◁/think▷",
    "analysis{}assistantfinal",  # where the server takes special tokens out
)
OPEN_THOUGHTS = (
    "<think>{}",
    "<seed:think>{}",
    "<thought>{}",
    "◁think▷{}",
    "[THINK]{}",
    "<|channel|>analysis<|message|>{}",
    "<think>a</think> <think>{}",
    "<think>{}</answer>",
)
FORMS = (
    "{}",
    "{}.",
    "**{}**",
    "<answer>{}</answer>",
    "<answer> {}. </answer>",
    "<|begin_of_box|>{}<|end_of_box|>",
    "The answer is \\boxed{{{}}}",
    "So it must be $\\boxed{{\\text{{{}}}}}$.",
    "$\\text{{{}}}$",
    "The final answer is: {}",
    "{}<|return|>",
)
SAID = (("yes", "yes"), ("Yes", "yes"), ("YES", "yes"), ("no", "no"), ("No", "no"))


@pytest.mark.parametrize("thought", ["", *THOUGHTS])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("word", "means"), SAID)
def test_every_form_of_a_clear_answer_is_read(thought, form, word, means):
    if "<|return|>" in form and "channel" not in thought:
        return
    other = "no" if means == "yes" else "yes"
    text = thought.format(f"maybe {other}? I see it") + form.format(word)
    assert plain_answer(text) == means
    if thought:
        assert first_word_answer(text) == means


@pytest.mark.parametrize("thought", OPEN_THOUGHTS)
@pytest.mark.parametrize("words", ["yes", "Yes, it is", "no", "The answer is yes.", "\nno\n"])
def test_a_thought_without_an_end_is_no_answer(thought, words):
    assert plain_answer(thought.format(words)) is None
    assert first_word_answer(thought.format(words)) is None


@pytest.mark.parametrize(
    "text",
    [
        "not yes", "yes and no", "Yes. No.", "yes/no", "no, yes", "yes or no", "Yes; no", "",
        "I'm sorry, but I can't assist with that request.", "I cannot say", "N/A", "是否", "是不是",
        "It is not \\boxed{yes}", "<answer>yes</answer><answer>no</answer>", "不知道",
        "\\boxed{yes} no, \\boxed{no}", "<answer>yes</answer> or no?", "</think>",
        "<answer></answer>",
    ],
)  # fmt: skip
def test_what_could_mean_either_or_nothing_is_no_answer(text):
    assert plain_answer(text) is None
    assert first_word_answer(text) is None


@pytest.mark.parametrize(
    ("text", "means"),
    [("是", "yes"), ("是的。", "yes"), ("否", "no"), ("不是。", "no"), ("答案：是", "yes")],
)
def test_chinese_words_that_are_clear(text, means):
    assert plain_answer(text) == means


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("Yes, there is a dog.", "yes"), ("No, there is no dog", "no"), ("yes because", "yes"),
        ("Yes, but", "yes"), ("no nothing", "no"),
    ],
)  # fmt: skip
def test_a_first_word_counts_where_one_word_was_asked_for(text, means):
    assert first_word_answer(text) == means


PIECES = st.lists(
    st.sampled_from(
        ["yes", "no", "Yes", "No", "not", "and", "or", " ", ",", ".", "\n", "dog", "<think>",
         "</think>", "<answer>", "</answer>", "\\boxed{", "}", "◁/think▷", "是", "否", "true"]
    ),
    max_size=8,
).map("".join)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(PIECES)
def test_what_is_kept_of_an_unclear_answer_counts_nowhere(text):
    if plain_answer(text) is None:
        assert plain_answer(kept(text)) is None
        assert read_yes_no(kept(text)) is None
        assert "\n" not in kept(text)


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="yesno YESNO.,!*'\n", max_size=12))
def test_a_plain_answer_has_one_of_the_words_and_not_the_other(text):
    means = plain_answer(text)
    letters = "".join(c for c in text.lower() if c.isalpha())
    assert (means is None) or letters == means


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.sampled_from(["Yes", "no", "and", "or", "dog", ",", ".", "!"]), max_size=6),
    st.lists(st.sampled_from(["yes", "No", "and", "cat", "."]), max_size=4),
)
def test_once_a_first_word_is_settled_no_further_word_changes_it(pieces, more):
    text = " ".join(pieces) + " "
    if first_word_settled(text):
        assert first_word_answer(text + " ".join(more)) == first_word_answer(text) is not None


def test_half_of_a_surrogate_pair_is_kept_as_a_question_mark():
    assert kept("dog \ud83d ?") == "dog ? ?"


@pytest.mark.parametrize(
    "text",
    ["Yes</s>", "yes<|im_end|>", "<answer>yes</answer><|eot_id|>", "yes <|end|><|endoftext|>\n",
     "assistantfinalyes"],
)  # fmt: skip
def test_the_marks_of_a_turns_end_are_no_part_of_an_answer(text):
    assert plain_answer(text) == "yes"
    assert plain_answer(text.replace("Yes", "no").replace("yes", "no")) == "no"


def test_a_mark_within_the_words_stays():
    assert plain_answer("yes</s>no") is None
