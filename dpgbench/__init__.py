"""DPG-Bench, reproducible: generate grids, ask a judge, score, report.

    import dpgbench

    benchmark = dpgbench.load_benchmark("shapes")
    run = dpgbench.generate("tiny-ella-sd15", benchmark, items=["few_000"]).run
    scored = dpgbench.score(run.path, judge="tiny-mplug")
    dpgbench.build_report([run])

The public surface is `__all__`; it is imported on first use, so that `import dpgbench` is instant.
"""

from __future__ import annotations

import sys

if any("dpgbench" in word for word in sys.orig_argv):
    from dpgbench import interrupts

    if interrupts.is_command():
        interrupts.install()  # before anything else: an interrupt may come at any moment

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpgbench.api import (
        build_report,
        generate,
        list_benchmarks,
        load_benchmark,
        load_generator,
        load_judge,
        make_graphs,
        pull_benchmark,
        score,
        score_answers,
        score_images,
    )
    from dpgbench.backends.generators.images_api.options import ServerOptions
    from dpgbench.backends.llms.options import LlmOptions
    from dpgbench.backends.protocols import JudgeAnswer, JudgeRequest, TileQuestions
    from dpgbench.domain.benchmark import Benchmark
    from dpgbench.domain.result import Result
    from dpgbench.domain.rules import RULES, ScoringRule
    from dpgbench.domain.score import Answer
    from dpgbench.engine.options import EngineOptions
    from dpgbench.errors import DpgBenchError

__all__ = [
    "RULES",
    "Answer",
    "Benchmark",
    "DpgBenchError",
    "EngineOptions",
    "JudgeAnswer",
    "JudgeRequest",
    "LlmOptions",
    "Result",
    "ScoringRule",
    "ServerOptions",
    "TileQuestions",
    "build_report",
    "generate",
    "list_benchmarks",
    "load_benchmark",
    "load_generator",
    "load_judge",
    "make_graphs",
    "pull_benchmark",
    "score",
    "score_answers",
    "score_images",
]

_MODULE_OF = {
    "RULES": "dpgbench.domain.rules",
    "ScoringRule": "dpgbench.domain.rules",
    "Answer": "dpgbench.domain.score",
    "Result": "dpgbench.domain.result",
    "DpgBenchError": "dpgbench.errors",
    "EngineOptions": "dpgbench.engine.options",
    "LlmOptions": "dpgbench.backends.llms.options",
    "ServerOptions": "dpgbench.backends.generators.images_api.options",
    "Benchmark": "dpgbench.domain.benchmark",
    "JudgeAnswer": "dpgbench.backends.protocols",
    "JudgeRequest": "dpgbench.backends.protocols",
    "TileQuestions": "dpgbench.backends.protocols",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'dpgbench' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF.get(name, "dpgbench.api")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
