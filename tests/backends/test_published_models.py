"""The table of published models: true of the installed diffusers and of the page of facts."""

from __future__ import annotations

import csv
import inspect
import re
from pathlib import Path
from typing import Any

import diffusers
import pytest

from dpgbench.backends.generators.hub_classes import (
    draws_from_text,
    guidance_argument,
    needs_negative_prompt,
)
from dpgbench.backends.generators.published_models import PublishedModel, published_models
from dpgbench.backends.generators.table import MODELS, find_model
from dpgbench.domain.spec import GenerationSpec
from dpgbench.store.published import read_published

TABLE = published_models()
EACH = pytest.mark.parametrize("model", TABLE.values(), ids=TABLE)
OWN_CALL = ("sd15", "ella-sd15")
"""Models that ELLA's demonstration sets, not their class."""


def parameters_of(model: PublishedModel) -> Any:
    return inspect.signature(getattr(diffusers, model.value("pipeline")).__call__).parameters


@EACH
def test_the_class_exists_and_draws_from_text_alone(model: PublishedModel) -> None:
    assert draws_from_text(getattr(diffusers, model.value("pipeline")))


@EACH
def test_the_class_takes_every_argument_of_the_table(model: PublishedModel) -> None:
    parameters = parameters_of(model)
    assert {*model.arguments} <= {*parameters}
    assert "num_inference_steps" in parameters
    assert {"height", "width", "generator", "output_type"} <= {*parameters}
    assert model.guidance_argument == guidance_argument(parameters)
    if needs_negative_prompt(parameters):
        assert model.value("negative_prompt"), "no guidance without a negative prompt"
    elif "negative_prompt" not in parameters:
        assert model.value("negative_prompt") is None


@EACH
def test_what_is_said_to_be_the_class_s_default_is(model: PublishedModel) -> None:
    parameters = parameters_of(model)
    facts = {
        "num_inference_steps": model.facts.get("steps"),
        model.guidance_argument: model.facts.get("guidance"),
        "height": model.facts.get("px"),
        **model.arguments,
    }
    for argument, fact in facts.items():
        if fact and fact.source.startswith("diffusers 0.42.1, the class's default"):
            assert parameters[argument].default == fact.value, argument


@EACH
def test_schedulers_exist(model: PublishedModel) -> None:
    name = model.value("scheduler")
    if name is not None:
        scheduler = getattr(diffusers, name)
        assert {*model.scheduler_arguments} <= {*inspect.signature(scheduler.__init__).parameters}


@EACH
def test_every_value_has_a_source_and_a_kind(model: PublishedModel) -> None:
    facts = [
        *model.facts.values(),
        *model.arguments.values(),
        *model.scheduler_arguments.values(),
        *model.extra.values(),
        *model.encoders,
    ]
    assert all(fact.source.strip() for fact in facts)
    kinds = {
        "repository": str, "revision": str, "variant": str, "pipeline": str, "licence": str,
        "gated": bool, "px": int, "steps": int, "guidance": float, "negative_prompt": str,
        "rows": int, "scheduler": str, "dtype": str, "memory": str, "prompt": str,
        "token_limit": int, "packages": str,
    }  # fmt: skip
    for name, fact in model.facts.items():
        assert type(fact.value) is kinds[name], name
    revision = model.value("revision")
    assert revision is None or re.fullmatch("[0-9a-f]{40}", revision)
    assert model.value("dtype") in {None, "float16", "bfloat16", "float32"}
    assert model.value("rows") in {1, 2}
    assert "/" in model.repository


@EACH
def test_published_scores_are_rows_of_the_table_of_scores(model: PublishedModel) -> None:
    labels = {score.model for score in read_published()}
    assert {*model.published_as} <= labels
    assert bool(model.published_as) == bool(model.scores())


@EACH
def test_the_settings_make_a_specification(model: PublishedModel) -> None:
    entry = find_model(model.name)
    assert entry is MODELS[model.name]
    settings = {"width_px": 1024, "height_px": 1024, "dtype": "float32", **entry.defaults}
    spec = GenerationSpec(model=entry.name, options=entry.options, **settings)
    assert (spec.steps, spec.guidance_scale) == (model.value("steps"), model.value("guidance"))
    assert [role.name for role in entry.roles] == ["base", *model.extra]
    source = entry.roles[0].source
    assert (source.repository, source.revision) == (model.repository, model.value("revision"))  # type: ignore[union-attr]


def test_the_table_is_of_the_facts_page(shared: Path) -> None:
    """Names, numbers and scores of the page are the table's; what is empty there is unknown."""
    with (shared / "facts/models.csv").open(encoding="utf-8") as file:
        rows = {line["name"]: line for line in csv.DictReader(file)}
    for name in TABLE.keys() & rows.keys():
        model, line = TABLE[name], rows[name]
        assert model.repository in line["repository"]
        assert model.value("pipeline") == line["pipeline_class_diffusers_0.42"]
        for fact, column in (("steps", "steps"), ("guidance", "guidance"), ("px", "native_px")):
            value = model.value(fact)
            if name not in OWN_CALL and value is not None and line[column]:
                assert f"{value:g}" in line[column], (name, fact)
        if model.value("dtype"):
            assert model.value("dtype") in line["dtype"], name
        for encoder in model.encoders:
            if encoder.tokens:
                assert str(encoder.tokens) in line["text_encoders_and_token_limits"], name
        if line["published_dpg"]:
            scores = {float(score.average) for score in model.scores()}
            assert {float(one) for one in line["published_dpg"].split(" | ")} <= scores, name


def test_models_that_cannot_be_drawn_are_not_in_the_table() -> None:
    assert not TABLE.keys() & {"omnigen2", "bagel", "janus-pro-7b", "gpt-image-1"}
