"""A generator class of one's own that cannot work is refused in one line."""

import re

import pytest

SOURCE = """
from PIL import Image


class Plain:
    width_px = height_px = 16

    def draw(self, prompt, seeds):
        return [Image.new("RGB", (16, 16), (seed, 1, 2)) for seed in seeds]


class Built(Plain):
    def __init__(self):
        raise RuntimeError("no\\nmodel")


class Arguments(Plain):
    def __init__(self, first):
        pass


class Limit(Plain):
    token_limit = "7"

    def count_tokens(self, prompt):
        return len(prompt)


class Count(Limit):
    token_limit = 7

    def count_tokens(self, prompt):
        return None


class Counting(Count):
    def count_tokens(self, prompt):
        raise ValueError("no tokens")
"""
SAID = {
    "Built": "cannot be built: RuntimeError: no model",
    "Arguments": "cannot be built: TypeError: .* missing 1 required",
    "Limit": "token_limit must be a whole number, not '7'",
    "Count": "count_tokens must return a whole number, not None",
    "Counting": "count_tokens failed: ValueError: no tokens",
}


@pytest.mark.parametrize("name", SAID)
def test_a_class_that_cannot_draw_is_told_in_one_line(run, tmp_path, monkeypatch, name):
    (tmp_path / "refused_generators.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    model = f"refused_generators:{name}"
    ended = run("generate", "--model", model, "--bench", "shapes", "--limit", 1, "--out", "r")
    assert ended.code == 2
    assert model in ended.error and re.search(SAID[name], ended.error)
    assert "Traceback" not in ended.err
