"""A judge that knows the pictures of `dpgbench doctor --judge`, and running that command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dpgbench.backends.protocols import JudgeAnswer, JudgeRequest, TileQuestions
from dpgbench.jobs.doctor.exam import exams
from tests.helpers import Run


class Oracle:
    """Knows the pictures by name; other judges below spoil its answers."""

    num_images_at_once = 3

    def __init__(self, request: JudgeRequest) -> None:
        self.request = request

    def describe(self) -> dict[str, Any]:
        return {"model": type(self).__name__}

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        truths = {exam.name: [probe.truth for probe in exam.probes] for exam in exams()}
        return [
            [self.say(n, truth) for n, truth in enumerate(truths[tile.item_id])] for tile in tiles
        ]

    def say(self, number: int, truth: bool) -> JudgeAnswer:
        return JudgeAnswer("yes" if truth else "no")


def examine(run: Run, name: str, *words: object) -> tuple[int, dict[str, Any], str]:
    judge = name if name.islower() else f"tests.cli.test_doctor:{name}"
    ended = run("doctor", "--judge", judge, "--device", "cpu", "--json", *words)
    return ended.code, json.loads(ended.out), ended.err
