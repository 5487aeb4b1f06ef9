"""How far the judge and the detector agree about what the embedded generators draw.

python -m tests.embedded.agreement
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from dpgbench import load_generator
from dpgbench.domain.statistics.agreement import agreements
from dpgbench.shapes import benchmark_items
from tests.embedded.detector import detect
from tests.embedded.graded_answers import ask

MODELS: Final = ("tiny-ella-sd15", "tiny-sd15")
NUM_ITEMS: Final = 25
SEEDS: Final = (0, 1)


class Case(NamedTuple):
    """One question about one generated picture, as both answer it."""

    model: str
    category: str
    picture: int
    judge: str
    detector: str


class Figures(NamedTuple):
    """Agreement of some cases, 0 to 1; Cohen's kappa; and how often each says yes."""

    questions: int
    agreement: float
    kappa: float
    judge_yes: float
    detector_yes: float


def measure(**settings: Any) -> list[Case]:
    """Draw items of `shapes` with both generators, and ask both readers everything.

    Args:
        settings: of the generators, such as `steps`.
    """
    every = benchmark_items()
    items = every[:: len(every) // NUM_ITEMS][:NUM_ITEMS]
    cases: list[Case] = []
    for model in MODELS:
        generator = load_generator(model, device="cpu", **settings)
        drawn = [
            (picture, item.questions)
            for item in items
            for picture in generator.draw(item.prompt, SEEDS)
        ]
        for number, ((picture, asked), judge_answers) in enumerate(
            zip(drawn, ask(drawn), strict=True)
        ):
            seen = detect(picture).answers(asked)
            cases += [
                Case(model, question.category[0], number, judge_answer.text, own)
                for question, judge_answer, own in zip(asked, judge_answers, seen, strict=True)
            ]
    return cases


def figures(cases: Sequence[Case]) -> Figures:
    """The agreement of the judge with the detector on some cases."""
    judge, detector = (
        np.array([case[place] == "yes" for case in cases])
        for place in (Case._fields.index("judge"), Case._fields.index("detector"))
    )
    pictures = np.array([case.picture for case in cases])
    measured = agreements(judge, detector, pictures, {"all": np.ones(len(cases), dtype=bool)})[
        "all"
    ]
    return Figures(
        len(cases),
        float(np.mean(judge == detector)),
        float(measured.kappa.value if measured.kappa.value is not None else np.nan),
        float(judge.mean()),
        float(detector.mean()),
    )


def table(cases: Sequence[Case]) -> str:
    """The figures of all cases, of each generator and of each category, as Markdown."""
    rows = {"all": list(cases)}
    rows |= {model: [case for case in cases if case.model == model] for model in MODELS}
    for name in sorted({case.category for case in cases}):
        rows[name] = [case for case in cases if case.category == name]
    lines = [
        "| | questions | agreement | kappa | judge says yes | detector says yes |",
        "|---|---|---|---|---|---|",
    ]
    for name, among in rows.items():
        measured = figures(among)
        shares = [f"{100 * share:.1f}%" for share in (measured.judge_yes, measured.detector_yes)]
        lines.append(
            f"| {name} | {measured.questions} | {100 * measured.agreement:.1f}% | "
            f"{measured.kappa:.2f} | "
            f"{' | '.join(shares)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(measure()))
