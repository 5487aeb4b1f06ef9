"""Do two versions of the code write the same bytes? Score files, reports, printed lines.

    python -m scripts.same_output BEFORE [--after CHECKOUT] [--work FOLDER] [--data FOLDER]

BEFORE and CHECKOUT (default: this one) are checkouts. BEFORE's code makes runs: the demo, made-up
runs of 3 models x 100 items and, where --data holds `dsg1k/`, runs of the recorded answers about
DSG-1k. Then each version scores its copy under every rule, compares and reports; the demo is also
drawn and judged anew by each. Every file and every printed line is compared byte for byte, but for
times of day, seconds and command lines; of a page its elements
and its data, where fields may come in addition. Differences are printed, and end with exit code 1.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RULES = ("ella-reference", "corrected-v1", "dsg", "ulmeval", "diffusionbench")
DSG_RULES = ("corrected-v1", "dsg")
"""Rules that read words among the parents, as DSG-1k has them; the others refuse the file."""
DSG_MODELS = ("sd1dot5", "sd2dot1", "mini-dalle")
_SYNTHETIC = (
    "import sys; from pathlib import Path; sys.path[:0] = ['benchmarks']\n"
    "try: from benchmarks.synthetic_runs import MODELS, draw_images, item_ids, make_runs\n"
    "except ImportError: from synthetic_runs import MODELS, draw_images, item_ids, make_runs\n"
    "runs = make_runs(Path(sys.argv[1]), 100)\n"
    "draw_images(runs[:3], list(item_ids(100))[:4])\n"
)
_VOLATILE = {
    "command", "commands", "created", "started", "finished", "updated", "scored", "date", "time",
    "seconds", "seconds_per_grid", "host", "dpgbench", "git", "mtime", "path", "folder",
}  # fmt: skip
"""JSON fields that tell when, how long and by which command; they are left out of comparison."""


@dataclass(frozen=True)
class Version:
    """A checkout, and the folder that its outputs go to."""

    name: str
    checkout: Path
    folder: Path

    def python(self, words: Sequence[str], cwd: Path) -> str:
        """Run Python with this checkout's code; returns what it printed, with its exit code."""
        done = subprocess.run(
            [sys.executable, *words],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(self.checkout), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )
        shown = " ".join(words)[:100]
        return f"$ {shown}\n{done.stdout}{_without_bars(done.stderr)}exit code {done.returncode}\n"

    def command(self, *words: str) -> str:
        """Run a command of dpgbench in the folder."""
        return self.python(["-m", "dpgbench", *words], self.folder)


def main() -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("--after", type=Path, default=ROOT)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--demo-items", type=int, default=8)
    chosen = parser.parse_args()
    work = chosen.work or Path(tempfile.mkdtemp())
    shutil.rmtree(work, ignore_errors=True)
    made = work / "made"
    made.mkdir(parents=True)
    maker = Version("before", chosen.before.resolve(), made)
    make(maker, chosen.data, chosen.demo_items)
    # Both work in a folder of one name: paths are part of what is written.
    texts: dict[str, str] = {}
    trees: dict[str, Path] = {}
    for name, checkout in (("before", maker.checkout), ("after", chosen.after.resolve())):
        folder = work / "here"
        shutil.copytree(made, folder)
        texts[name] = use(Version(name, checkout, folder), chosen.data, chosen.demo_items)
        trees[name] = folder.rename(work / name)
        (work / f"{name}.txt").write_text(texts[name], encoding="utf-8")
    differences = [*compare_trees(trees["before"], trees["after"])]
    if _lines(texts["before"]) != _lines(texts["after"]):
        differences.append(f"printed lines: diff {work}/before.txt {work}/after.txt")
    print("\n".join(differences) or "same bytes")
    files = sum(path.is_file() for path in trees["after"].rglob("*"))
    print(f"{files} files and {len(texts['after'].splitlines())} printed lines; kept in {work}")
    return 1 if differences else 0


def make(maker: Version, data: Path, demo_items: int) -> None:
    """Make the runs that both versions read."""
    print(maker.command("demo", "--out", "demo", "--limit", str(demo_items)).splitlines()[-1])
    out = maker.python(["-c", _SYNTHETIC, str(maker.folder / "synthetic")], maker.checkout)
    if "exit code 0" not in out:
        raise SystemExit(out)
    dsg = data / "dsg1k"
    for model in DSG_MODELS if dsg.is_dir() else ():
        out = maker.command(*_score_dsg(dsg, model), "--out", f"dsg/{model}", "--name", model)
        if "exit code 6" not in out:  # the answers are about 160 of the 1,060 items
            raise SystemExit(out)


def _score_dsg(dsg: Path, model: str) -> list[str]:
    words = ["score", "--bench", f"{dsg}/dsg-1k-anns.csv", "--answers", f"{dsg}/mplug_dsg.csv"]
    return [*words, "--where", f"t2i_model={model}", "--num-images", "1", *_rules(DSG_RULES)]


def _rules(names: Sequence[str]) -> list[str]:
    return [word for name in names for word in ("--rule", name)]


def use(version: Version, data: Path, demo_items: int) -> str:
    """Score, compare and report all runs; returns all that was printed."""
    runs = {
        kind: sorted(str(p.parent.relative_to(version.folder)) for p in manifests)
        for kind in ("demo", "synthetic", "dsg")
        if (manifests := [*(version.folder / kind).rglob("manifest.json")])
    }
    shown = [version.command("demo", "--out", "drawn-anew", "--limit", str(demo_items))]
    judge = {"demo": "tiny-mplug", "synthetic": "mplug"}
    dsg = data / "dsg1k"
    for kind, names in runs.items():
        for name in names:
            again = ["score", name, "--judge", judge[kind], *_rules(RULES)] if kind in judge else [
                *_score_dsg(dsg, Path(name).name), "--out", f"{name}-anew", "--name", name
            ]  # fmt: skip
            shown.append(version.command(*again))
        shown.append(version.command("report", *names, "--out", f"report-{kind}"))
        shown.append(version.command("compare", *names[:2]))
        shown.append(version.command("compare", *names[:2], "--json"))
    if "dsg" in runs:
        shown.append(
            version.command(
                "judges", "compare", f"{dsg}/mplug_dsg.csv", "--bench", f"{dsg}/dsg-1k-anns.csv",
                "--model-column", "t2i_model", "--rule", "dsg", "--json",
                "--human", f"{dsg}/tifa160-likert-anns.csv",
                "--human-columns", "item=item_id,model=t2i_model,score=answer",
            )
        )  # fmt: skip
    return "".join(shown)


def compare_trees(before: Path, after: Path) -> Iterator[str]:
    """Yield a line for each file that is missing or differs."""
    names = [{p.relative_to(t) for p in t.rglob("*") if p.is_file()} for t in (before, after)]
    for name in sorted(names[0] ^ names[1]):
        yield f"only {'before' if name in names[0] else 'after'}: {name}"
    for name in sorted(names[0] & names[1]):
        one, other = (comparable(tree / name) for tree in (before, after))
        if name.suffix == ".html":
            other = _without_additions(one, other)
        if one != other:
            yield f"differs: {name}{_where(one, other)}"


def _without_additions(one: Any, other: Any) -> Any:
    """Return `other` without what follows the fields of `one`: a page may hold more figures."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {k: _without_additions(one[k], other[k]) for k in other if k in one}
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) <= len(other):
        parts = (_without_additions(a, b) for a, b in zip(one, other, strict=False))
        return type(one)(parts)
    return other


def _where(one: Any, other: Any, at: str = "") -> str:
    """Return the first place in which two values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
        return _where(one.get(keys[0]), other.get(keys[0]), f"{at}.{keys[0]}")
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        place = next(i for i, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1])
        return _where(one[place], other[place], f"{at}[{place}]")
    if isinstance(one, str) and isinstance(other, str) and "\n" in one:
        lines = one.splitlines(), other.splitlines()
        return _where(*lines, at) if len(lines[0]) == len(lines[1]) else f"{at}: other lines"
    return f"{at}: {str(one)[:90]!r} -> {str(other)[:90]!r}"


def comparable(path: Path) -> Any:
    """Return what of a file must be the same."""
    content = path.read_bytes()
    if path.suffix == ".json":
        return _without_times(json.loads(content))
    if path.suffix == ".jsonl":
        return [_without_times(json.loads(line)) for line in content.splitlines()]
    if path.suffix == ".html":
        return _page(content.decode("utf-8"))
    if path.suffix in (".md", ".csv", ".tex"):
        return _lines(content.decode("utf-8"))
    return content


def _page(text: str) -> Any:
    """Return a page's data and its elements, without its scripts and their hashes."""
    data = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)
    text = re.sub(r"(?<=;base64,)[\w+/=]+", _decoded, text)
    elements = re.sub(
        r"<(script|style)\b.*?</\1>|<meta http-equiv[^>]*>", "", text, flags=re.DOTALL
    )
    return _without_times(json.loads(data[1])) if data else None, _lines(elements)


def _decoded(encoded: re.Match[str]) -> str:
    """Return the text of a table that the page offers; a picture's bytes stay as they are."""
    content = base64.b64decode(encoded[0])
    return encoded[0] if content.startswith(b"\x89PNG") else content.decode("utf-8", "replace")


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if k not in _VOLATILE}
    if isinstance(value, list):
        return [_without_times(part) for part in value]
    return _lines(value) if isinstance(value, str) else value


def _lines(text: str) -> str:
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|\+00:00)?", "TIME", text)
    return re.sub(r"\b\d+(\.\d+)? s\b", "SECONDS", text)


def _without_bars(text: str) -> str:
    """Leave out progress bars."""
    kept = [line for line in text.splitlines() if "it/s" not in line and "\r" not in line]
    return "".join(f"{line}\n" for line in kept if not re.search(r"\d+%\|", line))


if __name__ == "__main__":
    sys.exit(main())
