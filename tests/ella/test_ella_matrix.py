"""Every combination equals a plain loop: kinds of pipelines, schedulers, connectors, texts.

Each kind of pipeline meets each scheduler once; connector, texts, additions and numbers of prompts
go round so that each pair of them occurs. The quick part has each kind and each scheduler.
"""

from __future__ import annotations

import ast
import functools
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import pytest
import torch

from ella import Ella, UnsupportedPipelineError, new_connector, tiny
from ella.supported import ONE_PROMPT
from tests.ella.pipeline_kinds import KINDS, STEPS, built, plain_of
from tests.ella.plain_loop import assert_near, draw
from tests.ella.schedulers import SCHEDULERS, scheduler_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array:DeprecationWarning"),  # of diffusers
    pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning"),  # likewise
]

CONNECTORS = ("adaln", "adaln-zero", "resampler", "resampler-1", "mlp")
HOW = tuple(
    {"length": length, "with_clip": with_clip, "positive_only": positive_only}
    for length, with_clip, positive_only in itertools.product(
        ("fixed", "flexible"), (False, True), (False, True)
    )
)
PROMPTS = ("a red circle", "two dogs beside a tree")
NEGATIVES = ("dog", "")


class Row(NamedTuple):
    kind: str
    scheduler: str
    connector: str
    how: dict[str, Any]
    addition: str
    prompts: int
    images: int


def _rows() -> list[Row]:
    rows = []
    for (k, kind), (s, scheduler) in itertools.product(enumerate(KINDS), enumerate(SCHEDULERS)):
        video = KINDS[kind].animated
        how = HOW[(2 * k + s) % len(HOW)]
        connector = CONNECTORS[(k + 2 * s) % len(CONNECTORS)]
        if video:
            how = {**how, "positive_only": False}
            if connector == "mlp":
                how = {**how, "length": "fixed"}
        addition = KINDS[kind].additions[(s + s // 3 + k) % len(KINDS[kind].additions)]
        prompts, images = ((2, 1), (1, 2), (1, 1))[(k + s // 2) % 3]
        images = 1 if video or KINDS[kind].pixels else images
        prompts = 1 if KINDS[kind].name in ONE_PROMPT else prompts
        rows.append(Row(kind, scheduler, connector, how, addition, prompts, images))
    return rows


ROWS = _rows()
NUM_QUICK = max(len(KINDS), len(SCHEDULERS))
QUICK = {
    (list(KINDS)[n % len(KINDS)], list(SCHEDULERS)[n % len(SCHEDULERS)]) for n in range(NUM_QUICK)
}


def _name(row: Row) -> str:
    words = [word for word in ("with_clip", "positive_only") if row.how[word]]
    parts = [row.kind, row.scheduler, row.connector, row.how["length"], *words, row.addition]
    return ",".join(parts)


@functools.cache
def ella_of(connector: str, width: int) -> Ella:
    kind: Any = connector.removesuffix("-1")
    made = tiny.tiny_connector(kind=kind, width=width)
    if kind != connector:
        made = new_connector(replace(made.config, layers=1)).eval()
    return Ella(made, tiny.tiny_text_encoder())


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            row,
            marks=[] if (row.kind, row.scheduler) in QUICK else pytest.mark.slow,
            id=_name(row),
        )
        for row in ROWS
    ],
)
def test_a_combination_equals_a_plain_loop(row: Row) -> None:
    pipeline, extra, picture = built(row.kind, row.addition)
    kind = KINDS[row.kind]
    pipeline.scheduler = scheduler_of(tiny.tiny_scheduler().config, row.scheduler)
    ella = ella_of(row.connector, 2 * tiny.WIDTH if kind.xl else tiny.WIDTH)
    prompts, negatives = PROMPTS[: row.prompts], NEGATIVES[: row.prompts]
    seeds = range(row.prompts * row.images)
    seen: list[torch.Tensor] = []

    def note(_pipeline: Any, _step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen[:] = [tensors["latents"]]
        return {}

    ella.generate(
        pipeline,
        list(prompts),
        negative_prompt=list(negatives),
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        num_inference_steps=STEPS,
        guidance_scale=7.5,
        callback_on_step_end=note,
        callback_on_step_end_tensor_inputs=["latents"],
        **({} if kind.animated else {"num_images_per_prompt": row.images}),
        **{"output_type": "latent", **kind.arguments(row.prompts)},
        **row.how,
        **extra,
    )
    plain = plain_of(row.kind, pipeline, picture, NEGATIVES)
    loop = [
        draw(
            ella,
            pipeline,
            prompts[seed // row.images],
            seed,
            negative=negatives[seed // row.images],
            **row.how,
            **plain,
        )
        for seed in seeds
    ]
    assert_near(seen[0], torch.cat(loop))


def test_prompts_that_diffusers_cannot_draw_together_are_refused(ella: Ella) -> None:
    pipeline, _, _ = built("animate-controlnet")
    arguments = KINDS["animate-controlnet"].arguments(1)
    with pytest.raises(ValueError, match=r"draws one prompt at a call .* got 2"):
        ella.generate(pipeline, list(PROMPTS), **arguments)


def test_the_matrix_has_every_pair() -> None:
    """Of kinds of pipelines with each other factor, and of the other factors."""
    seen = {frozenset(pair) for row in ROWS for pair in itertools.combinations(_factors(row), 2)}
    wanted = set()
    for kind in KINDS.values():
        names = [name for name, one in KINDS.items() if one is kind]
        for name in names:
            wanted |= {frozenset({("kind", name), ("connector", one)}) for one in CONNECTORS}
            wanted |= {frozenset({("kind", name), ("addition", one)}) for one in kind.additions}
            wanted |= {frozenset({("kind", name), ("with_clip", one)}) for one in (False, True)}
            if not kind.animated:
                wanted |= {
                    frozenset({("kind", name), ("positive_only", one)}) for one in (False, True)
                }
            wanted |= {
                frozenset({("kind", name), ("length", one)}) for one in ("fixed", "flexible")
            }
    for scheduler, connector in itertools.product(SCHEDULERS, CONNECTORS):
        wanted.add(frozenset({("scheduler", scheduler), ("connector", connector)}))
    for connector, positive in itertools.product(CONNECTORS, (False, True)):
        wanted.add(frozenset({("connector", connector), ("positive_only", positive)}))
    assert not wanted - seen
    quick = [row for row in ROWS if (row.kind, row.scheduler) in QUICK]
    assert {row.kind for row in quick} == KINDS.keys()
    assert {row.scheduler for row in quick} == SCHEDULERS.keys()
    assert {row.connector for row in quick} == {*CONNECTORS}


def _factors(row: Row) -> list[tuple[str, Any]]:
    return [
        ("kind", row.kind),
        ("scheduler", row.scheduler),
        ("connector", row.connector),
        ("addition", row.addition),
        *row.how.items(),
    ]


# ----------------------------------------------------------- all that diffusers has

DRAWN = {kind.name for kind in KINDS.values()}


def classes_with_a_unet() -> set[str]:
    """Pipeline classes of the installed diffusers that take a U-Net, by their source."""
    names = set()
    for file in (Path(diffusers.__file__).parent / "pipelines").rglob("pipeline_*.py"):
        text = file.read_text(encoding="utf-8")
        if "unet" not in text:
            continue
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef) and "Pipeline" in node.name:
                makers = [
                    one
                    for one in node.body
                    if isinstance(one, ast.FunctionDef) and one.name == "__init__"
                ]
                if makers and "unet" in {one.arg for one in makers[0].args.args}:
                    names.add(node.name)
    return names


def test_each_class_of_diffusers_with_a_unet_is_drawn_with_or_refused(ella: Ella) -> None:
    """Before the first step, with the class's name and a reason."""
    classes = classes_with_a_unet()
    assert classes >= DRAWN
    unet = tiny.tiny_pipeline().unet
    silent = []
    for name in sorted(classes - DRAWN):
        kind = getattr(diffusers, name, None)
        if kind is None or "dummy" in kind.__module__:
            continue  # not offered, or of a package that is not installed
        pipeline = kind.__new__(kind)  # none of its networks is looked at, but the U-Net's width
        vars(pipeline)["unet"] = unet
        try:
            ella.check_pipeline(pipeline)
        except UnsupportedPipelineError as error:
            assert name in str(error)
            assert len(str(error)) > len(name) + 20
        else:
            silent.append(name)
    assert silent == []
