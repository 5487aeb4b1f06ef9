"""What docs/models.md says of generators is what the tables say."""

from __future__ import annotations

import re
from pathlib import Path

from dpgbench.backends.generators.hub_settings import PUBLISHED
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


def test_the_table_of_published_settings() -> None:
    rows = {
        cells[0]: cells[1:]
        for line in PAGE.splitlines()
        if "/" in line.split("|")[1:2].__str__()
        and len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 6
    }
    assert rows.keys() == PUBLISHED.keys()
    for repository, (size, steps, guidance, dtype, further) in rows.items():
        entry = PUBLISHED[repository]
        settings = entry.settings
        assert size == str(settings.get("width_px", ""))
        assert steps == str(settings.get("steps", ""))
        stated = settings.get("guidance_scale")
        assert guidance == ("" if stated is None else f"{stated:g}")
        assert dtype == (entry.dtype or "")
        assert all(f"`{name}` {value}" in further for name, value in entry.arguments.items())
