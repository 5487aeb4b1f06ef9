"""The page about the server: its client works, its words are the program's."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dpgbench.server.limits import Limits
from dpgbench.server.schema import ItemBody, QuestionBody, ScoreBody
from tests.helpers import REPOSITORY
from tests.server.running import Site, picture

PAGE = (REPOSITORY / "docs" / "serve.md").read_text()


def test_the_client_of_the_page_works(
    impatient_server: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DPG_JUDGE", impatient_server.url)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert len(blocks) == 3
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/serve.md", "exec"), names)
    rewards = names["dpg_reward"](names["images"], ["few_000", "few_000"])
    assert all(0 <= reward <= 1 for reward in rewards)
    printed = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\[[\d.]+, [\d.]+\]", printed[0])
    assert re.fullmatch(r"\['(yes|no)', '(yes|no)', '(yes|no)'\] [\d.]+", printed[1])
    function = blocks[0].partition("def dpg_reward")[2].strip().splitlines()
    assert len(function) <= 20
    if curl := shutil.which("curl"):
        (line,) = re.findall(r"```sh\ncurl (.*?)\n```", PAGE)
        (tmp_path / "grid.png").write_bytes(picture(size=(64, 64)))
        done = subprocess.run(
            f"{curl} {line}", shell=True, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert '"failures":{}' in done.stdout, done.stdout


def test_the_page_names_every_field_and_default() -> None:
    for model in (ScoreBody, ItemBody, QuestionBody):
        for name in model.model_fields:
            assert f"{name}`" in PAGE, name
    limits = Limits()
    for text in (
        f"1 to {limits.items} of them",
        f"1 to {limits.images} pictures",
        f"{limits.bodies_bytes // 2**20} MiB at most",
        f"{limits.picture_side_px:,} px a side",
        f"more than {limits.json_values:,} values",
        f"there within {limits.head_seconds:g} s",
        f"{limits.upload_rate / 1024:g} KiB a second after the first {limits.upload_seconds:g} s",
        f"taken within {limits.reply_seconds:g} s",
        f"waits {1000 * limits.batch_seconds:g} ms",
    ):
        assert " ".join(text.split()) in " ".join(PAGE.split()), text
