"""`dpgbench plan` counts, tries and computes, and says of each number what it rests on."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from dpgbench.jobs.planning.units import longest_shard, longest_share
from tests.cli.own_parts import write_parts
from tests.helpers import Run, row, write_csv

RATES = ("--seconds-per-image", 0.5, "--questions-per-second", 100, "--start-seconds", 0)


def planned(run: Run, *words: object) -> dict[str, Any]:
    ended = run("plan", *words, "--json")
    assert ended.code == 0, ended.err
    plan: dict[str, Any] = json.loads(ended.out)
    for section, figures in plan.items():
        for name, figure in figures.items() if section not in ("remarks", "commands") else ():
            assert figure["basis"], name
            assert (figure["value"] is None) == (figure["basis"] == "unknown"), name
            if figure["basis"] in ("assumed", "unknown"):
                assert figure["note"], name
    return plan


def value(plan: dict[str, Any], section: str, name: str) -> float:
    return float(plan[section][name]["value"])


def test_units_and_hours_of_known_rates(run: Run, tmp_path: Path) -> None:
    items = [f"i{number}" for number in range(10)]
    rows = [row(item, qid) for n, item in enumerate(items) for qid in range(1, 2 + n % 3)]
    write_csv(tmp_path / "b.csv", rows)
    plan = planned(
        run, "--model", "ella-sd15", "--judge", "mplug", "--bench", "b.csv", "--gpus", 4, *RATES,
        "--num-images", 2, "--price-per-gpu-hour", 3,
    )  # fmt: skip
    units = plan["units"]
    assert [units[name]["value"] for name in units] == [10, 20, 2 * len(rows)]
    assert {units[name]["basis"] for name in units} == {"counted"}
    hours = {name: 3600 * (figure["value"] or 0) for name, figure in plan["hours"].items()}
    assert hours["generate_on_1"] == pytest.approx(10)
    assert hours["generate_on_4"] == pytest.approx(3)  # one of four draws three grids of two
    assert hours["judge_on_1"] == pytest.approx(2 * len(rows) / 100)
    sizes = [2.0 * (1 + n % 3) for n in range(10)]
    assert hours["judge_on_4"] == pytest.approx(longest_share(sizes, 4) / 100)
    assert hours["judge_on_4_in_shards"] == pytest.approx(longest_shard(sizes, 4) / 100)
    assert hours["all"] == pytest.approx(hours["generate_on_4"] + hours["judge_on_4"])
    dollars = 4 * 3 * hours["all"] / 3600
    assert value(plan, "cost_dollars", "gpus") == pytest.approx(dollars)
    assert plan["hours"]["generate_on_4"]["basis"] == "given"
    # 2.23 thousand million parameters in half precision; nothing of it is on this machine
    assert value(plan, "memory_gib", "weights_generate") == pytest.approx(4.16, abs=0.01)
    assert plan["memory_gib"]["weights_judge"]["basis"] == "estimated"


def test_the_busiest_worker() -> None:
    assert longest_share([4, 1, 1, 1, 1], 2) == 4
    assert longest_shard([4, 1, 1, 1, 1], 2) == 6
    assert longest_share([1], 8) == longest_shard([1], 8) == 1
    assert longest_share([], 3) == 0


def test_what_is_not_known_is_said_where_the_number_stands(run: Run) -> None:
    plan = planned(
        run, "--model", "hf:some/model", "--judge", "hf:a/judge", "--seconds-per-image", 1,
        "--questions-per-second", 9, "--gpus", 2,
    )  # fmt: skip
    assert plan["units"]["grids"] == {
        "value": 1065,
        "basis": "estimated",
        "note": "prompts of dpg; 'dpgbench prompts pull' gets the file that they are counted from",
    }
    assert value(plan, "units", "questions") == 1065 * 4 * 13
    assert "13.0 an item" in plan["units"]["questions"]["note"]
    assert plan["memory_gib"]["weights_generate"]["basis"] == "unknown"
    assert plan["disk_bytes"]["images"]["basis"] == "assumed"
    assert "size unknown: 1024 px assumed" in plan["disk_bytes"]["images"]["note"]
    assert plan["rates"]["start_seconds_judge"]["basis"] == "assumed"
    assert plan["hours"]["all"]["basis"] == "assumed"


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--model", "sd15"), 4, "hf download stable-diffusion-v1-5"),
        (("--model", "sd15"), 4, "or give --seconds-per-image"),
        (("--judge", "mplug", "--bench", "shapes"), 4, "modelscope download"),
        (("--judge", "mplug", "--bench", "shapes"), 4, "or give --questions-per-second"),
        (("--model", "tiny-sd15", "--bench", "dpg"), 4, "dpgbench prompts pull"),
        ((), 2, "nothing to plan"),
        (("--model", "sd15", "--seconds-per-image", 0), 2, "--seconds-per-image 0"),
        (("--model", "sd15", "--seconds-per-image", "nan"), 2, "--seconds-per-image nan"),
        (("--model", "sd15", "--gpus", 0), 2, "--gpus 0"),
        (("--model", "sd15", "--try", 0), 2, "--try 0"),
        (("--model", "sd15", "--weights", "judge=x"), 2, "with a role of base"),
        (("--model", "sd15", "--price-per-gpu-hour", -1), 2, "--price-per-gpu-hour"),
        (("--model", "sd1"), 2, "did you mean"),
        (("--model", "sd15", "--seconds-per-image", 1, "--num-images", 0), 2, "1 to 10"),
        (("--model", "sd15", "--seconds-per-image", 1, "--width", -512), 2, "--width -512"),
        (("--model", "sd15", "--seconds-per-image", 1, "--steps", -1), 2, "--steps -1"),
        (
            ("--model", "sd15", "--seconds-per-image", 1, "--bench", "dpg", "--limit", 0),
            2,
            "--limit 0",
        ),
    ],
)
def test_what_cannot_be_planned(run: Run, words: tuple[object, ...], code: int, text: str) -> None:
    ended = run("plan", *words)
    assert ended.code == code, ended.err
    assert text in ended.error


def test_a_server_is_not_tried_and_has_its_price(run: Run) -> None:
    words = ("--judge", "openai:m", "--base-url", "http://127.0.0.1:9", "--bench", "shapes")
    plan = planned(run, *words, "--gpus", 8, "--questions-per-request", 4)
    requests = value(plan, "units", "requests")
    assert value(plan, "units", "questions") / 4 <= requests < value(plan, "units", "questions")
    assert plan["hours"].keys() == {"judge_on_1", "all"}
    assert plan["hours"]["all"]["value"] is None
    assert "requests cost money" in plan["hours"]["all"]["note"]
    assert plan["cost_dollars"]["server"]["value"] is None
    priced = planned(
        run, *words, "--price-in", 2, "--price-out", 10, "--tokens-per-image", 1000,
        "--questions-per-second", 50,
    )  # fmt: skip
    tokens = value(priced, "cost_dollars", "prompt_tokens")
    answered = value(priced, "cost_dollars", "answered_tokens")
    assert tokens > 1000 * value(priced, "units", "requests")
    dollars = (2 * tokens + 10 * answered) / 1e6
    assert value(priced, "cost_dollars", "server") == pytest.approx(dollars, rel=1e-4)


def test_a_server_that_draws_is_not_tried_either(run: Run) -> None:
    words = ("--model", "images-api:m", "--judge", "mplug", "--bench", "shapes", "--gpus", 4)
    plan = planned(run, *words, "--questions-per-second", 100)
    assert plan["rates"]["seconds_per_image"]["value"] is None
    assert plan["hours"]["all"]["value"] is None
    assert "requests cost money" in plan["hours"]["all"]["note"]
    assert plan["hours"].keys() & {"generate_on_4", "judge_on_4"} == {"judge_on_4"}
    assert plan["cost_dollars"]["images_of_the_server"]["value"] is None
    assert "--engine" not in plan["commands"]["ray"][0]
    assert "--engine ray" in plan["commands"]["ray"][1]
    priced = planned(run, *words, *RATES, "--price-image", 0.04, "--price-per-gpu-hour", 3)
    assert value(priced, "cost_dollars", "images_of_the_server") == pytest.approx(32)
    hours = value(priced, "hours", "judge_on_4")
    assert value(priced, "cost_dollars", "gpus") == pytest.approx(12 * hours)
    assert "weights_generate" not in priced["memory_gib"]


def test_a_few_items_are_tried_on_this_machine(run: Run, tmp_path: Path) -> None:
    write_parts(tmp_path, pause=0.05)
    words = ("--model", "own_model:Model", "--judge", "own_judge:Judge", "--bench", "b.csv")
    plan = planned(run, *words, "--device", "cpu", "--try", 3, "--num-images", 2)
    assert 0.02 < value(plan, "rates", "seconds_per_image") < 0.5
    assert 5 < value(plan, "rates", "questions_per_second") < 61  # 3 in each 0.05 s
    for name in ("seconds_per_image", "questions_per_second", "start_seconds_judge"):
        assert plan["rates"][name]["basis"] == "measured"
    assert "a CPU's rate says nothing of a GPU's" in plan["rates"]["seconds_per_image"]["note"]
    assert any("not of GPUs" in remark for remark in plan["remarks"])
    assert plan["disk_bytes"]["images"]["basis"] == "measured"
    assert plan["memory_gib"]["weights_generate"]["value"] is None
    assert not (tmp_path / "runs").exists()
    for command in plan["commands"]["alone"]:  # and they are commands
        assert run(*shlex.split(command)[1:]).code == 0, command
    images = sum(path.stat().st_size for path in Path("runs").glob("*/images/*"))
    assert value(plan, "disk_bytes", "images") == pytest.approx(images, rel=0.2)


def test_a_model_that_fails_when_it_is_tried(run: Run, tmp_path: Path) -> None:
    write_parts(tmp_path)
    (tmp_path / "own_broken.py").write_text(
        "class Model:\n    width_px = height_px = 8\n"
        "    def draw(self, prompt, seeds): raise RuntimeError('no idea')\n"
    )
    ended = run("plan", "--model", "own_broken:Model", "--bench", "b.csv", "--device", "cpu")
    assert ended.code == 6
    assert "RuntimeError: no idea" in ended.error


def test_commands_have_what_was_said(run: Run) -> None:
    plan = planned(
        run, "--model", "ella-sd15", "--judge", "mplug", "--bench", "shapes", "--gpus", 3, *RATES,
        "--steps", 30, "--seed", 5, "--option", "text_length=fixed", "--weights", "judge=/w/j",
        "--weights", "connector=/w/c", "--judge-dtype", "float16", "--items", "few_000,few_001",
        "--out", "here",
    )  # fmt: skip
    generate, score = (shlex.split(command) for command in plan["commands"]["alone"])
    assert generate == [
        "dpgbench", "generate", "--model", "ella-sd15", "--bench", "shapes", "--out", "here",
        "--seed", "5", "--steps", "30", "--option", "text_length=fixed", "--weights",
        "connector=/w/c", "--items", "few_000,few_001",
    ]  # fmt: skip
    assert score == [
        "dpgbench", "score", "here", "--judge", "mplug", "--bench", "shapes", "--dtype", "float16",
        "--weights", "judge=/w/j", "--items", "few_000,few_001",
    ]  # fmt: skip
    assert plan["commands"]["ray"][0].endswith("--engine ray --workers 3")
    assert "#SBATCH --array=1-3" in plan["commands"]["slurm"]
    assert '--shard "$SLURM_ARRAY_TASK_ID/3"' in plan["commands"]["slurm"]
    assert plan["commands"]["after_slurm"] == ["dpgbench merge here", shlex.join(score)]
    text = run("plan", "--model", "tiny-sd15", "--judge", "tiny-mplug", *RATES).out
    assert "in one process:" in text
    assert "Ray" not in text


def test_weights_are_counted_from_their_files(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from dpgbench.jobs.planning.weights import weight_bytes

    save_file({"a": torch.zeros(10, 10), "n": torch.zeros(4, dtype=torch.int64)},
              tmp_path / "model.safetensors")  # fmt: skip
    save_file({"a": torch.zeros(10, 10).half()}, tmp_path / "model.fp16.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x" * 999)
    assert weight_bytes(tmp_path, "float32") == 400 + 32
    assert weight_bytes(tmp_path, "float16") == 200 + 32
    assert weight_bytes(tmp_path / "model.fp16.safetensors", "float32") == 400
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet/weights.bin").write_bytes(b"x" * 400)
    assert weight_bytes(tmp_path, "bfloat16") == 200 + 32 + 200
