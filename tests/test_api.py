"""The Python surface: listed in one place, documented, and working without the command line."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import dpgbench
from dpgbench import Answer
from tests.helpers import Run

ROOT = Path(__file__).parents[1]


def test_all_names_exist_and_are_documented() -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    for name in dpgbench.__all__:
        value = getattr(dpgbench, name)
        assert f"`{name}" in page, f"{name} is not in docs/python.md"
        if callable(value):
            assert inspect.getdoc(value), name
    with pytest.raises(AttributeError):
        _ = dpgbench.nothing


def test_the_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    benchmark = dpgbench.load_benchmark("shapes")
    items = list(benchmark.prompts)[:2]
    done = dpgbench.generate("tiny-ella-sd15", benchmark, items=items, num_images=1, steps=2)
    assert done.drawn == 2
    scored = dpgbench.score(done.run.path, judge="tiny-mplug", rules=["corrected-v1"])
    assert scored.results[0].items_scored == 2
    table = scored.to_frame()
    assert list(table["rule"]) == ["corrected-v1"]
    assert list(table["overall"]) == [scored.results[0].overall]
    assert list(table["items_scored"]) == [2]
    paths = dpgbench.build_report([done.run.path], tmp_path / "report")
    assert {path.suffix for path in paths} >= {".html", ".csv", ".md"}


def test_scores_in_memory() -> None:
    benchmark = dpgbench.load_benchmark("shapes")
    item = next(iter(benchmark.prompts))
    answers = [
        Answer(item, tile, row.qid, "yes") for tile in (0, 1) for row in benchmark.items[item]
    ]
    assert dpgbench.score_answers(benchmark, answers, items=[item]).overall == 100.0
    judge = dpgbench.load_judge("tiny-mplug", device="cpu")
    generator = dpgbench.load_generator("tiny-sd15", device="cpu", steps=2)
    images = generator.draw(benchmark.prompts[item], [0, 1])
    assert all(isinstance(image, Image.Image) for image in images)
    result = dpgbench.score_images(benchmark, {item: images}, judge)
    assert result.overall is not None
    assert len(result.items[0].tiles) == 2
    as_bytes = [torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in images]
    as_floats = [pixels / 255 for pixels in as_bytes]
    for tensors in (as_bytes, as_floats):
        assert dpgbench.score_images(benchmark, {item: tensors}, judge) == result
    with pytest.raises(dpgbench.DpgBenchError, match=r"\[3, H, W\]"):
        dpgbench.score_images(benchmark, {item: [as_bytes[0][0]]}, judge)
    overshot = (as_bytes[0] / 255 * 1.2 - 0.1, as_bytes[0].int())
    assert dpgbench.score_images(benchmark, {item: overshot}, judge).overall is not None
    signed, hidden = as_floats[0] * 2 - 1, as_floats[0].clone()
    hidden[1, 2, 3] = float("nan")
    for other in (signed, as_bytes[0].float(), hidden, as_bytes[0].int() - 1000, hidden > 0.5):
        with pytest.raises(
            dpgbench.DpgBenchError, match="integers from 0 to 255 or floating point"
        ):
            dpgbench.score_images(benchmark, {item: [other]}, judge)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(dpgbench.DpgBenchError, match="unknown setting 'stpes'"):
        dpgbench.load_generator("tiny-sd15", stpes=3)
    with pytest.raises(dpgbench.DpgBenchError, match="--decode is not for judge"):
        dpgbench.load_judge("openai:m", decode="beam")


def test_defaults_are_those_of_the_command_line() -> None:
    from dpgbench.cli.options import JudgeOptions

    of_class = dpgbench.JudgeRequest("mplug")
    in_python = inspect.signature(dpgbench.load_judge).parameters
    on_command_line = JudgeOptions()
    for name in ("device", "dtype", "revision", "batch_size"):
        default = getattr(of_class, name)
        assert in_python[name].default == getattr(on_command_line, name) == default, name
    asked = JudgeOptions(device="cpu").request(None)
    assert asked == dpgbench.JudgeRequest("mplug", device="cpu")
    devices = [
        parameter.default
        for function in (dpgbench.generate, dpgbench.load_generator, dpgbench.load_judge)
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name == "device"
    ]
    assert devices == ["auto"] * 3


def test_docs_name_every_command_and_option() -> None:
    import typer

    from dpgbench.cli import app

    page = (ROOT / "docs" / "commands.md").read_text()
    group = typer.main.get_command(app)
    missing = []

    def visit(command: object, words: list[str]) -> None:
        for name, inner in getattr(command, "commands", {}).items():
            if f"`dpgbench {' '.join([*words, name])}" not in page:
                missing.append(" ".join([*words, name]))
            visit(inner, [*words, name])
        for parameter in command.params:  # type: ignore[attr-defined]
            for option in getattr(parameter, "opts", []):
                shown = option.startswith("--") and option not in ("--help",)
                if shown and "completion" not in option and f"`{option}" not in page:
                    missing.append(f"{' '.join(words)} {option}")

    visit(group, [])
    assert missing == []


def test_links_in_the_docs_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if not target.startswith(("http://", "https://")):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_python_in_the_docs_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), {})


def test_python_in_the_page_about_reports_runs(run: Run, tmp_path: Path) -> None:
    item, rows = next(iter(dpgbench.load_benchmark("shapes").items.items()))
    for name, answer in (("one", "yes"), ("two", "no")):
        lines = [f"{item},{row.qid},{answer}" for row in rows]
        answers = tmp_path / f"{name}.csv"
        answers.write_text("\n".join(["item_id,qid,answer", *lines]) + "\n")
        words = ("--bench", "shapes", "--items", item, "--out", f"runs/{name}")
        assert run("score", "--answers", answers, *words).code == 0
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "report.md").read_text(), re.S)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/report.md", "exec"), names)
    assert {row.model for row in names["board"].rows} == {"one", "two"}
    assert names["stale_files"](names["runs"], Path("report")) == []
    assert names["comparison"].items == 1
