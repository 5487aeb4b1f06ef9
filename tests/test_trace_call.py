"""`scripts/trace_call.py`: the files that a call goes through."""

from __future__ import annotations

from pathlib import Path

from dpgbench.store.published import read_published
from scripts.trace_call import small_call, table, trace_files


def test_files_stand_in_the_order_in_which_a_call_enters_them() -> None:
    files = trace_files(read_published)
    assert list(files)[:3] == ["store/published.py", "store/paths.py", "store/csv_rows.py"]
    first, *others = files.values()
    assert (first.entered_by, first.again_from) == ("", set())
    assert {"store/paths.py", "store/csv_rows.py"} <= first.enters
    assert all(entered.lines and entered.entered_by for entered in others)
    assert table(files).endswith(f"{len(files)} files (store {len(files)}); 0 entered again")


def test_what_is_not_of_the_package_is_left_out() -> None:
    from dpgbench.errors import counted

    def down() -> str:
        return counted(2, "item")

    assert list(trace_files(down)) == ["errors.py"]


def test_scoring_enters_no_file_again_that_is_still_at_work(tmp_path: Path) -> None:
    files = trace_files(small_call("score", tmp_path))
    assert {"jobs/score.py", "jobs/ask.py", "engine/asking.py"} <= files.keys()
    assert {name: file.again_from for name, file in files.items() if file.again_from} == {}
