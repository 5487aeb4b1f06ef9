"""What docs/models.md says of generators is what the tables say."""

from __future__ import annotations

import re
from pathlib import Path

from dpgbench.backends.generators.published_models import published_models
from dpgbench.backends.generators.table import MODELS

PAGE = (Path(__file__).parents[2] / "docs/models.md").read_text(encoding="utf-8")


def test_steps_and_guidance_of_both_pairs() -> None:
    text = " ".join(PAGE.split())
    tiny, real = MODELS["tiny-sd15"].defaults, MODELS["sd15"].defaults
    stated = re.findall(r"(\d+) steps, guidance ([\d.]+\d)", text)
    assert stated == [(str(one["steps"]), f"{one['guidance_scale']:g}") for one in (real, tiny)], (
        "in the page's order"
    )
    for first, second in (("ella-sd15", "sd15"), ("tiny-ella-sd15", "tiny-sd15")):
        assert MODELS[first].defaults == MODELS[second].defaults


def test_the_table_of_published_models() -> None:
    section = PAGE.partition("## Published models")[2].partition("\n## ")[0]
    rows = {
        cells[0].strip("`"): cells[1:]
        for line in section.splitlines()
        if line.startswith("| `")
        and (cells := [cell.strip() for cell in line.strip("|").split("|")])
    }
    table = {name: model for name, model in published_models().items() if model.summary}
    assert rows.keys() == table.keys()
    for name, (repository, size, steps, guidance, dtype, further) in rows.items():
        model = table[name]
        stated = model.value("guidance")
        assert repository == model.repository
        assert size == str(model.value("px") or "")
        assert steps == str(model.value("steps") or "")
        assert guidance == ("" if stated is None else f"{stated:g}")
        assert dtype == (model.value("dtype") or "")
        for argument, fact in {**model.arguments, **model.scheduler_arguments}.items():
            value = str(fact.value).lower() if isinstance(fact.value, bool) else fact.value
            assert f"`{argument}` {value}" in further, name
        assert ("gated" in further) == bool(model.value("gated"))
