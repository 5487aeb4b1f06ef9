"""Soft-TIFA's forms of a right answer: the words whose first tokens' probabilities are added.

Source: facebookresearch/GenEval2 at commit a6e82d2; measured in its outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

COUNTING = "How many"
"""What a question about a number begins with; no other question is about one."""
YES_FORMS = ("Yes", "yes", " yes", " Yes")
_BEYOND = "other"
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {word: str(number) for number, word in enumerate(_WORDS, 1)}
_AS_WORD = {digits: word for word, digits in _DIGITS.items()}


def is_counting(question: str) -> bool:
    """Return whether a question is about a number."""
    return question.startswith(COUNTING)


def answer_forms(question: str, expected: str) -> tuple[str, ...]:
    """Return what an answer may begin with to be right; a form may be there twice.

    Of a question that begins with ``How many``: the number as a word, with a capital, after a
    space, and as digits; beyond ten, and of a number written with a capital, ``other`` takes the
    digits' place. Of every other question: yes, whatever the right answer is.

    Args:
        question: as the benchmark has it, without what a template adds.
        expected: the right answer, as the benchmark has it.
    """
    if not is_counting(question):
        return YES_FORMS
    word = _AS_WORD.get(expected, expected)
    digits = _DIGITS.get(word, _BEYOND)
    capital = word.capitalize()
    return word, capital, f" {word}", f" {capital}", digits, f" {digits}"


def added_probability(forms: Iterable[str], by_form: Mapping[str, float]) -> float:
    """Return the sum over forms, as Soft-TIFA adds it: a form that is there twice counts twice.

    So it may be more than 1; a judge's own `p_answer` counts each token once, and never is.
    """
    return sum(by_form[form] for form in forms)
