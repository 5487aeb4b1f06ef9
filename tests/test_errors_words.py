"""Words of messages: whole, in the right number, on one line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dpgbench.errors import clipped, counted, one_line, reason_of


def test_counted() -> None:
    assert [counted(number, "item") for number in (0, 1, 2)] == ["0 items", "1 item", "2 items"]


@given(st.text(alphabet="ab c'\n", max_size=200), st.integers(10, 80))
def test_a_long_value_ends_after_a_whole_word(text: str, limit: int) -> None:
    shown, whole = clipped(text, limit), repr(text)
    if len(whole) <= limit:
        assert shown == whole
        return
    assert shown.endswith("...")
    kept = shown.removesuffix("...")
    assert whole.startswith(kept)
    assert len(kept) <= limit
    words = whole[: limit + 1].split(" ")
    if any(len(" ".join(words[:count])) > limit // 2 for count in range(1, len(words))):
        assert whole[len(kept)] == " "


@given(st.text())
def test_one_line_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    line = one_line(text)
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in line)
    assert not set(line) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2028\u2029")
    line.encode()


def test_what_an_exception_says_is_one_line() -> None:
    error = ValueError("cannot load 'a  b.png':\n\n\tmissing key \x1b[31m")
    line = "cannot load 'a  b.png': missing key \\x1b[31m"
    assert reason_of(error) == line
    assert reason_of(error, with_type=True) == f"ValueError: {line}"
    assert reason_of(error, first_line=True) == "cannot load 'a  b.png':"
    assert reason_of(error, limit=6) == "cannot"
    assert reason_of(TimeoutError()) == reason_of(TimeoutError(" \n"), with_type=True)
    assert reason_of(TimeoutError()) == "TimeoutError"
