"""Do the tests notice? Changes the code in small ways, one at a time, and runs what executes it.

    python -m scripts.mutate --seed 7 --mutants 200

A mutant is one small change of a file in `TARGETS`: a comparison turned, a boundary or a constant
moved by one, a condition negated, a call dropped, two arguments swapped, a result replaced by
None. It is made in a copy of the checkout, never in the checkout. The tests that execute its line
run (coverage by test, kept in `.mutation/` until code or tests change), those of its package and
then each other test file's quickest first, until one fails: then the change was noticed. Those
that nobody notices are printed.

Changes that cannot matter do not count: rules for them stand in `Finder`; single ones, each with
its reason, in `scripts/mutate_survivors.toml`. Exit code 1: less than 96% of the others were
noticed. Needs a system with `fork`; test processes start from one that has imported the heavy
libraries already.

Why not mutmut or cosmic-ray: neither draws a seeded sample over chosen files, and neither chooses
tests by the line (mutmut 3 by the function; cosmic-ray runs all), which here is the difference
between a quarter of an hour and a day.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".mutation"
SURVIVORS = Path(__file__).with_name("mutate_survivors.toml")
GOAL = 0.96
MEASURED = ("dpgbench", "ella", "scripts", "benchmarks", "tests")
"""Folders whose change may change which test executes which line."""
_ROUNDING = 1e-5
"""A number below this is a tolerance for rounding, not a quantity."""
_TESTED_IN = {
    "analysis": ("report",),
    "engine": ("engine", "jobs", "cli"),
    "jobs": ("jobs", "cli"),
    "store": ("store", "cli"),
}
"""Folders of the tests of a package, where they do not have its name."""

TARGETS = (
    "dpgbench/domain/aggregate.py",
    "dpgbench/domain/answer_text.py",
    "dpgbench/domain/benchmark.py",
    "dpgbench/domain/graph.py",
    "dpgbench/domain/plan.py",
    "dpgbench/domain/result.py",
    "dpgbench/domain/rows.py",
    "dpgbench/domain/rules.py",
    "dpgbench/domain/score.py",
    "dpgbench/domain/spec.py",
    "dpgbench/domain/statistics/agreement.py",
    "dpgbench/domain/statistics/bootstrap.py",
    "dpgbench/domain/statistics/correlation.py",
    "dpgbench/domain/statistics/paired.py",
    "dpgbench/store/benchmarks.py",
    "dpgbench/store/files.py",
    "dpgbench/store/hashes.py",
    "dpgbench/store/images.py",
    "dpgbench/store/recorded_answers.py",
    "dpgbench/store/run/answers.py",
    "dpgbench/store/run/directory.py",
    "dpgbench/store/run/image_log.py",
    "dpgbench/store/run/manifest.py",
    "dpgbench/store/run/scores.py",
    "dpgbench/backends/judges/asking.py",
    "dpgbench/analysis/comparison.py",
    "dpgbench/analysis/ranking.py",
    "dpgbench/engine/asking.py",
    "dpgbench/engine/drawing.py",
    "dpgbench/jobs/ask.py",
    "dpgbench/jobs/generate.py",
    "dpgbench/jobs/score.py",
    "dpgbench/mplug/beam.py",
    "dpgbench/mplug/processing.py",
    "ella/files.py",
    "ella/step_conditions.py",
    "ella/timesteps.py",
    "ella/training/objectives.py",
    "ella/training/randomness.py",
    "ella/training/tokens.py",
)
"""Files whose faults change a number or lose work."""

_COMPARE = {
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
}
_ARITHMETIC = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.Mod: "*",
    ast.BitOr: "&",
    ast.BitAnd: "|",
    ast.RShift: "<<",
    ast.LShift: ">>",
}
_TALK = {"log", "logging", "warnings", "say", "progress", "tqdm", "bar", "typer"}
_SYMMETRIC = {"min", "max", "minimum", "maximum", "isclose", "allclose", "gcd"}
_WORDS = {"counted", "shortened", "one_line", "unknown_name", "plural", "cast", "TypeVar", "field"}


@dataclass(frozen=True)
class Mutant:
    """One change: the text from `start` to `end` of `file` becomes `after`.

    Attributes:
        file: path below the checkout.
        line: line number, from 1.
        last_line: of the statement that is changed.
        start: offset in characters.
        before: the text that is replaced.
        text: the whole line, stripped: with `before` and `after` the name of the change.
    """

    file: str
    line: int
    last_line: int
    start: int
    end: int
    before: str
    after: str
    text: str

    @property
    def change(self) -> str:
        """The change in one line."""
        return f"{' '.join(self.before.split())} -> {' '.join(self.after.split())}"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.change}   [{self.text}]"


class Finder(ast.NodeVisitor):
    """Collects every mutant of one file.

    Left out, since they cannot change a number or lose work: docstrings, annotations, imports,
    decorators, blocks for type checking, checks of our own thinking (`assert`, `zip`'s `strict`),
    numbers of threads,
    swapped arguments of functions that do not mind, None for False, words of messages (arguments
    of `raise`, of logging and of what makes text for people, f-strings), `__repr__`, `__str__`,
    a tenth more of a tolerance for rounding (a number below 1e-5), and whether a division that
    gives NaN where it is left out also leaves out 0 / 0.
    """

    def __init__(self, file: str, source: str) -> None:
        self.file = file
        self.source = source
        self.lines = source.splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))
        self.mutants: list[Mutant] = []
        self.statement: ast.stmt | None = None

    def find(self) -> list[Mutant]:
        """Return the file's mutants in the order of their place."""
        self.visit(ast.parse(self.source))
        return sorted(set(self.mutants), key=lambda m: (m.start, m.end, m.after))

    # Places

    def _offset(self, line: int, column: int) -> int:
        text = self.lines[line - 1].encode()[:column].decode()
        return self.starts[line - 1] + len(text)

    def _span(self, node: ast.AST) -> tuple[int, int]:
        assert isinstance(node, ast.expr | ast.stmt)
        assert node.end_lineno is not None and node.end_col_offset is not None
        return (
            self._offset(node.lineno, node.col_offset),
            self._offset(node.end_lineno, node.end_col_offset),
        )

    def _add(self, start: int, end: int, after: str) -> None:
        before = self.source[start:end]
        if before == after or self.statement is None:
            return
        line = self.source.count("\n", 0, start) + 1
        last = self.statement
        simple = not isinstance(
            last, ast.FunctionDef | ast.ClassDef | ast.If | ast.For | ast.While | ast.With | ast.Try
        )
        end_line = (last.end_lineno or line) if simple else line
        text = self.lines[line - 1].strip()
        self.mutants.append(
            Mutant(self.file, line, max(line, end_line), start, end, before, after, text)
        )

    def _replace(self, node: ast.AST, after: str) -> None:
        self._add(*self._span(node), after)

    def _code(self, node: ast.AST) -> str:
        start, end = self._span(node)
        return self.source[start:end]

    # Statements

    def generic_visit(self, node: ast.AST) -> None:
        """Go on below, remembering the statement."""
        if isinstance(node, ast.stmt):
            before, self.statement = self.statement, node
            super().generic_visit(node)
            self.statement = before
        else:
            super().generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        """Nothing to change."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Nothing to change."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Text for people, or a name that other tests pin."""

    def visit_Raise(self, node: ast.Raise) -> None:
        """The words of an error are not changed."""

    def visit_Assert(self, node: ast.Assert) -> None:
        """Checks of our own thinking."""

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Only the body; not decorators and bases."""
        before, self.statement = self.statement, node
        for child in node.body:
            self.visit(child)
        self.statement = before

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Defaults and body; not decorators and annotations."""
        if node.name in ("__repr__", "__str__"):
            return
        before, self.statement = self.statement, node
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(default)
        for child in node.body:
            self.visit(child)
        self.statement = before

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """The value, not the annotation."""
        if node.value is not None:
            before, self.statement = self.statement, node
            self.visit(node.value)
            self.statement = before

    def visit_If(self, node: ast.If) -> None:
        """Negate the condition."""
        if "TYPE_CHECKING" in self._code(node.test):
            return
        before, self.statement = self.statement, node
        self._replace(node.test, f"not ({self._code(node.test)})")
        self.statement = before
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        """Only what is inside: a loop that never ends tells little."""
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        """Drop a call that is a statement; leave docstrings and talk."""
        if isinstance(node.value, ast.Constant):
            return
        if isinstance(node.value, ast.Call) and _root_name(node.value.func) in _TALK:
            return
        before, self.statement = self.statement, node
        if isinstance(node.value, ast.Call):
            self._replace(node, "pass")
        self.statement = before
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Drop it, or turn its sign."""
        before, self.statement = self.statement, node
        self._replace(node, "pass")
        self.statement = before
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        """Return nothing instead."""
        if node.value is not None and not _is_nothing(node.value):
            before, self.statement = self.statement, node
            self._replace(node.value, "None")
            self.statement = before
        self.generic_visit(node)

    # Expressions

    def visit_Compare(self, node: ast.Compare) -> None:
        """Turn each comparison."""
        left: ast.expr = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            start, end = self._span(left)[1], self._span(right)[0]
            for after in _COMPARE[type(operator)]:
                gap = self.source[start:end]
                if gap.strip() and "\n" not in gap and "(" not in gap and ")" not in gap:
                    self._add(start, end, f" {after} ")
            left = right
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Swap `and` and `or`."""
        word = " or " if isinstance(node.op, ast.And) else " and "
        for left, right in zip(node.values, node.values[1:], strict=False):
            start, end = self._span(left)[1], self._span(right)[0]
            gap = self.source[start:end]
            if gap.strip() in ("and", "or"):
                self._add(start, end, word)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """Drop a `not` or a sign."""
        if isinstance(node.op, ast.Not | ast.USub | ast.Invert):
            self._replace(node, f"({self._code(node.operand)})")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Use the opposite operator."""
        after = _ARITHMETIC.get(type(node.op))
        start, end = self._span(node.left)[1], self._span(node.right)[0]
        gap = self.source[start:end]
        text = isinstance(node.left, ast.Constant | ast.JoinedStr) and not _is_number(node.left)
        if after and not text and gap.strip() and not set(gap) & set("()\n"):
            self._add(start, end, f" {after} ")
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """Negate the condition."""
        self._replace(node.test, f"not ({self._code(node.test)})")
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """Negate each filter."""
        for test in node.ifs:
            self._replace(test, f"not ({self._code(test)})")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Swap the first two arguments; leave what makes words."""
        name = _root_name(node.func)
        last = node.func.attr if isinstance(node.func, ast.Attribute) else name
        if name in _TALK or name in _WORDS or (last or "").endswith("Error"):
            return
        plain = [arg for arg in node.args if not isinstance(arg, ast.Starred)]
        if len(plain) >= 2 and plain == node.args[: len(plain)] and last not in _SYMMETRIC:
            first, second = plain[:2]
            start, end = self._span(first)[0], self._span(second)[1]
            middle = self.source[self._span(first)[1] : self._span(second)[0]]
            self._add(start, end, self._code(second) + middle + self._code(first))
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        """Not `strict` of `zip`, a check of our own thinking, nor how many threads there are."""
        if node.arg in ("strict", "max_workers"):
            return
        self.visit(node.value)
        if node.arg == "where":  # of `np.divide` into NaN
            start, end = self._span(node.value)
            self.mutants = [
                m for m in self.mutants if not (start <= m.start < end and m.after == " >= ")
            ]

    def visit_Dict(self, node: ast.Dict) -> None:
        """Keys of what is written and read matter; so do values."""
        for key in node.keys:
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                self._replace(key, repr(f"{key.value}X"))
        for value in node.values:
            self.visit(value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """A key that is text matters."""
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            self._replace(node.slice, repr(f"{node.slice.value}X"))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Move a number by one, turn a truth value."""
        value = node.value
        if isinstance(value, bool):
            self._replace(node, str(not value))
        elif isinstance(value, int):
            self._replace(node, str(value + 1))
            if value > 0:
                self._replace(node, str(value - 1))
        elif isinstance(value, float) and not 0 < value < _ROUNDING:
            self._replace(node, repr(value * 1.1 if value else 1.0))


def _root_name(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        node = node.value if not isinstance(node, ast.Call) else node.func
    return node.id if isinstance(node, ast.Name) else None


def _is_nothing(node: ast.expr) -> bool:
    """Return whether an expression is None or, which callers cannot tell from it, False."""
    return isinstance(node, ast.Constant) and (node.value is None or node.value is False)


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


def all_mutants(root: Path, patterns: Sequence[str] = TARGETS) -> list[Mutant]:
    """Return every mutant of the target files, sorted by file and place.

    Raises:
        SystemExit: a pattern matches no file, so that a file that moved is not left out unseen.
    """
    nothing = [pattern for pattern in patterns if not any(root.glob(pattern))]
    if nothing:
        raise SystemExit(f"error: no such file: {', '.join(nothing)}; name its new place")
    paths = sorted({path for pattern in patterns for path in root.glob(pattern)})
    mutants: list[Mutant] = []
    for path in paths:
        source = path.read_text(encoding="utf-8")
        mutants += Finder(path.relative_to(root).as_posix(), source).find()
    return mutants


# Which tests see a line

_PLUGIN = """
import json, os
def pytest_configure(config):
    config._seconds = {}
def pytest_runtest_logreport(report):
    path = os.environ["MUTATE_SECONDS"]
    with open(path, "a") as file:
        file.write(json.dumps([report.nodeid, report.duration, report.outcome]) + "\\n")
"""


@dataclass(frozen=True)
class SeenBy:
    """Which tests execute a line, and how long each takes.

    Attributes:
        lines: by file, tests by line number; none for a line that runs when a module is imported.
        seconds: by test, set-up included; only tests that passed unchanged code.
    """

    lines: dict[str, dict[int, list[str]]]
    seconds: dict[str, float]

    def tests(self, mutant: Mutant, budget: float) -> list[str]:
        """Return tests that execute a mutant's lines, of as many files as `budget` s allow."""
        by_line = self.lines.get(mutant.file, {})
        span = range(mutant.line, mutant.last_line + 1)
        executing = self._executing(by_line, span)
        if not executing and any(line in by_line for line in span):  # it runs at import
            users = lines_using((ROOT / mutant.file).read_text(encoding="utf-8"), mutant.line)
            executing = self._executing(by_line, users) or self._executing(by_line, by_line)
        chosen: list[str] = []
        total = 0.0
        for test in self._in_turns(executing, mutant.file):
            total += self.seconds[test]
            if chosen and total > budget:
                break
            chosen.append(test)
        return sorted(chosen, key=lambda test: (self._quickest(test, chosen), test))

    def _executing(self, by_line: dict[int, list[str]], lines: Iterable[int]) -> set[str]:
        return {t for line in lines for t in by_line.get(line, ()) if t in self.seconds}

    def _in_turns(self, tests: Iterable[str], changed: str) -> list[str]:
        """Return each test file's quickest test, then each one's second, and so on.

        In every turn the tests of the changed file's own package come first: many tests of one
        package execute nearly every line of it, and what looks at it may be another's.
        """
        folders = _test_folders(changed)
        by_file: dict[str, list[str]] = {}
        for test in sorted(tests, key=lambda test: (self.seconds[test], test)):
            by_file.setdefault(test.partition("::")[0], []).append(test)
        files = sorted(by_file, key=lambda file: not file.startswith(folders))
        turns = zip_longest(*(by_file[file] for file in files))
        return [test for turn in turns for test in turn if test is not None]

    def _quickest(self, test: str, among: Sequence[str]) -> tuple[float, str]:
        """Return the seconds of the quickest test of a test's file, and the file."""
        file = test.partition("::")[0]
        return min(self.seconds[t] for t in among if t.startswith(file + "::")), file


def lines_using(source: str, line: int) -> set[int]:
    """Return the lines of a file that use what a line defines at import; none if unclear.

    Of a constant (in a module or a class) the lines that name it, of a function's or method's
    signature the lines of its body.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.lineno <= line < node.body[0].lineno and node.end_lineno:
                return set(range(node.body[0].lineno, node.end_lineno + 1))
        elif isinstance(node, ast.Module | ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.Assign | ast.AnnAssign) and (
                    part.lineno <= line <= (part.end_lineno or part.lineno)
                ):
                    targets = part.targets if isinstance(part, ast.Assign) else [part.target]
                    names = {t.id for t in targets if isinstance(t, ast.Name)}
                    return _lines_naming(tree, names) - _lines_of(part)
    return set()


def _lines_naming(tree: ast.AST, names: set[str]) -> set[int]:
    return {
        line
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id in names)
        or (isinstance(node, ast.Attribute) and node.attr in names)
        for line in _lines_of(node)
    }


def _lines_of(node: ast.expr | ast.stmt) -> set[int]:
    return set(range(node.lineno, (node.end_lineno or node.lineno) + 1))


def _test_folders(file: str) -> tuple[str, ...]:
    """Return the folders of the tests of a file's package."""
    parts = Path(file).parts
    package = parts[1] if parts[0] == "dpgbench" else parts[0]
    return tuple(f"tests/{folder}/" for folder in _TESTED_IN.get(package, (package,)))


def files_of(root: Path) -> list[str]:
    """Return the files of a checkout that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return sorted(name for name in listed if (root / name).is_file())


def make_copy(root: Path, into: Path) -> Path:
    """Copy a checkout's files into a folder, with what lies beside it linked; return the copy."""
    copy = into / "checkout"
    for name in files_of(root):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, copy / name)
    shared = root.parent / "shared"
    if shared.exists():
        (into / "shared").symlink_to(shared.resolve())
    modules = root / "tests" / "report" / "node_modules"
    if modules.exists():
        (copy / "tests" / "report" / "node_modules").symlink_to(modules.resolve())
    subprocess.run(["git", "init", "-q"], cwd=copy, check=True)
    return copy


def tree_hash(root: Path) -> str:
    """Return a hash of all Python files of code and tests."""
    digest = hashlib.sha256()
    for name in files_of(root):
        if name.endswith(".py") and name.split("/")[0] in MEASURED:
            digest.update(name.encode() + b"\0" + (root / name).read_bytes())
    return digest.hexdigest()[:16]


def seen_by(root: Path, jobs: int, tests: Sequence[str]) -> SeenBy:
    """Return which tests see which lines: kept from before, or by one run of `tests`."""
    which = hashlib.sha256("\0".join(tests).encode()).hexdigest()[:8]
    kept = CACHE / f"{tree_hash(root)}-{which}.json"
    if not kept.exists():
        CACHE.mkdir(exist_ok=True)
        measured = json.dumps(asdict(_measure(root, jobs, tests)))
        for old in CACHE.glob(f"*-{which}.json"):
            old.unlink()
        kept.write_text(measured)
    record = json.loads(kept.read_text())
    lines = {
        file: {int(line): tests for line, tests in by_line.items()}
        for file, by_line in record["lines"].items()
    }
    return SeenBy(lines, record["seconds"])


def _measure(root: Path, jobs: int, tests: Sequence[str]) -> SeenBy:
    from coverage import CoverageData

    print("running the suite once to see which test executes which line ...", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        copy = make_copy(root, Path(folder))
        (Path(folder) / "mutate_plugin.py").write_text(_PLUGIN)
        seconds_file = Path(folder) / "seconds.jsonl"
        env = _environment(copy)
        env["PYTHONPATH"] = os.pathsep.join([str(copy), folder])
        env["MUTATE_SECONDS"] = str(seconds_file)
        words = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "mutate_plugin"]
        words += ["-n", str(jobs), "--dist", "loadfile"] if jobs > 1 else []
        words += ["--cov=dpgbench", "--cov=ella", "--cov-context=test", "--cov-report=", *tests]
        ended = subprocess.run(words, cwd=copy, env=env, check=False, stdout=sys.stderr)
        if ended.returncode not in (0, 1):
            raise SystemExit(f"the suite did not run (exit code {ended.returncode})")
        seconds: Counter[str] = Counter()
        failed = set()
        for line in seconds_file.read_text().splitlines():
            test, duration, outcome = json.loads(line)
            seconds[test] += duration
            if outcome != "passed":
                failed.add(test)
        data = CoverageData(str(copy / ".coverage"))
        data.read()
        lines: dict[str, dict[int, list[str]]] = {}
        for name in data.measured_files():
            by_line = {
                number: sorted({context.split("|")[0] for context in contexts if context})
                for number, contexts in data.contexts_by_lineno(name).items()
            }
            relative = Path(name).resolve().relative_to(copy.resolve()).as_posix()
            lines[relative] = by_line
    return SeenBy(lines, {t: round(s, 3) for t, s in seconds.items() if t not in failed})


def _environment(copy: Path) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    return {**env, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


# Running


def warm_up() -> None:
    """Import what tests import and the project does not define, so that forks start at once."""
    import hypothesis  # noqa: F401
    import jinja2  # noqa: F401
    import numpy as np  # noqa: F401
    import pandas as pd  # noqa: F401
    import PIL.Image  # noqa: F401
    import pytest  # noqa: F401
    import torch
    import tqdm  # noqa: F401
    import transformers
    import typer  # noqa: F401

    torch.set_num_threads(1)
    for name in ("BertTokenizer", "CLIPTextModel", "CLIPTokenizer", "T5EncoderModel"):
        with contextlib.suppress(Exception):
            getattr(transformers, name)
    with contextlib.suppress(Exception):
        import diffusers

        _ = (diffusers.StableDiffusionPipeline, diffusers.DPMSolverMultistepScheduler)


def start(mutant: Mutant, tests: Sequence[str], copy: Path) -> int:
    """Put the mutant into the copy, run tests in a fork, and return the fork's process number."""
    path = copy / mutant.file
    source = path.read_text(encoding="utf-8")
    path.write_text(source[: mutant.start] + mutant.after + source[mutant.end :], encoding="utf-8")
    return run_tests(tests, copy)


def refuse_broken_tests(tests: Sequence[str], copy: Path) -> None:
    """Raise unless tests pass in the copy as it is: else every change would seem to be noticed."""
    _, status = os.waitpid(run_tests(tests, copy), 0)
    if code := os.waitstatus_to_exitcode(status):
        raise SystemExit(f"nothing is changed, and yet pytest ends with {code}: {' '.join(tests)}")


def run_tests(tests: Sequence[str], copy: Path) -> int:
    """Run tests in a fork, in the copy, and return the fork's process number."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.setsid()
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(quiet, stream)
        os.chdir(copy)
        os.environ.update(_environment(copy))
        sys.path.insert(0, str(copy))
        sys.argv = ["pytest"]
        sys.dont_write_bytecode = True
        import pytest

        words = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov"]
        words += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what is imported already
        code = int(pytest.main([*words, *tests]))
    finally:
        os._exit(code)


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: ``noticed``, ``survived``, ``unseen`` or ``named``."""

    mutant: Mutant
    state: str
    tests: int
    seconds: float
    reason: str = ""


def run_all(
    mutants: Sequence[Mutant], seen: SeenBy, *, jobs: int, budget: float, root: Path
) -> Iterator[Outcome]:
    """Yield what became of each mutant, as they end."""
    warm_up()
    named = named_survivors()
    todo = list(reversed(mutants))
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        free = [make_copy(root, Path(folder) / str(number)) for number in range(jobs)]
        quickest = sorted(seen.seconds, key=lambda test: seen.seconds[test])
        refuse_broken_tests(quickest[:20], free[0])
        running: dict[int, tuple[Mutant, Path, float, float, int]] = {}
        while todo or running:
            while free and todo:
                mutant = todo.pop()
                tests = seen.tests(mutant, budget)
                reason = named.get((mutant.file, mutant.text, mutant.change))
                if reason is not None:
                    yield Outcome(mutant, "named", 0, 0.0, reason)
                elif not tests:
                    yield Outcome(mutant, "unseen", 0, 0.0)
                else:
                    copy = free.pop()
                    limit = 60 + 4 * sum(seen.seconds[test] for test in tests)
                    child = start(mutant, tests, copy)
                    running[child] = (mutant, copy, time.monotonic(), limit, len(tests))
            for child in list(running):
                mutant, copy, began, limit, count = running[child]
                ended, status = os.waitpid(child, os.WNOHANG)
                late = time.monotonic() - began > limit
                if not ended and not late:
                    continue
                if not ended:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                del running[child]
                shutil.copy2(root / mutant.file, copy / mutant.file)
                free.append(copy)
                survived = not late and os.waitstatus_to_exitcode(status) == 0
                state = "survived" if survived else "noticed"
                yield Outcome(mutant, state, count, round(time.monotonic() - began, 1))
            time.sleep(0.02)


def named_survivors() -> dict[tuple[str, str, str], str]:
    """Return the reasons of single changes that cannot matter, by file, line and change."""
    if not SURVIVORS.exists():
        return {}
    entries: list[dict[str, Any]] = tomllib.loads(SURVIVORS.read_text(encoding="utf-8")).get(
        "survivor", []
    )
    return {(e["file"], e["line"], e["change"]): e["reason"] for e in entries}


def main() -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mutants", type=int, default=200, help="how many; 0 is all")
    parser.add_argument("--files", nargs="*", default=None, help="patterns instead of TARGETS")
    parser.add_argument("--tests", nargs="*", default=(), help="only these; all if not given")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--budget",
        type=float,
        default=240.0,
        help="seconds of tests a mutant, as they took when lines were measured",
    )
    parser.add_argument("--json", type=Path, default=None, help="write all outcomes here")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    chosen = parser.parse_args()
    mutants = all_mutants(ROOT, chosen.files or TARGETS)
    if chosen.mutants and chosen.mutants < len(mutants):
        mutants = random.Random(chosen.seed).sample(mutants, chosen.mutants)
    if chosen.list:
        print("\n".join(map(str, mutants)))
        return 0
    seen = seen_by(ROOT, chosen.jobs, chosen.tests)
    outcomes: list[Outcome] = []
    for outcome in run_all(mutants, seen, jobs=chosen.jobs, budget=chosen.budget, root=ROOT):
        outcomes.append(outcome)
        why = f" ({outcome.reason})" if outcome.reason else ""
        print(f"{outcome.state:9}{outcome.seconds:6.1f} s  {outcome.mutant}{why}", flush=True)
    counts = Counter(outcome.state for outcome in outcomes)
    able = len(outcomes) - counts["named"]
    rate = counts["noticed"] / able if able else 1.0
    print(
        f"\n{counts['noticed']} of {able} noticed: {rate:.1%} (seed {chosen.seed}; "
        f"{counts['survived']} survived, {counts['unseen']} on lines that no test executes, "
        f"{counts['named']} named as unable to matter)"
    )
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(o) for o in outcomes], indent=1))
    return 0 if rate >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
