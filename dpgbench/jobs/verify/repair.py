"""Setting aside what is damaged in a run, so that the commands that made it do it again."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dpgbench.backends.judges.table import DEFAULT_JUDGE
from dpgbench.errors import DpgBenchError
from dpgbench.jobs.verify.findings import Finding, SetAside, Verification
from dpgbench.jobs.verify.run import verify
from dpgbench.store.run.directory import SHARDS, RunDir, is_run
from dpgbench.store.run.manifest import Manifest, now, read_manifest
from dpgbench.store.run.set_aside import SetAsideFolder


@dataclass(frozen=True)
class Repaired:
    """What a repair did.

    Attributes:
        before: what was wrong.
        after: what is left.
        folders: where things went; none where nothing had to.
        taken: in words, a line a file.
        commands: that do again what was set aside, in order.
    """

    before: Verification
    after: Verification
    folders: Sequence[Path]
    taken: Sequence[str]
    commands: Sequence[str]


def repair(path: Path, *, bench: str | None = None, images: Path | None = None) -> Repaired:
    """Set aside what is damaged in a run and can be done again; nothing is deleted.

    The run is locked meanwhile. A kill leaves each file whole, in its place or set aside; the same
    call goes on.

    Raises:
        UsageError: another process is working in the run.
        StorageError: the run cannot be written.
        DataError: there is no such folder, or it is no run.
    """
    before = verify(path, bench=bench, images=images)
    taken, commands, folders = [], [], []
    for part in _with_shards(before):
        if any(finding.set_aside for finding in part.findings):
            folder, lines, again = _repair_one(part.run, bench, images)
            folders += [folder]
            taken += lines
            commands += [command for command in again if command not in commands]
    after = verify(path, bench=bench, images=images) if folders else before
    return Repaired(before, after, folders, taken, commands)


def _with_shards(verification: Verification) -> Iterator[Verification]:
    for shard in verification.shards:
        yield from _with_shards(shard)
    yield verification


def _repair_one(
    path: Path, bench: str | None, images: Path | None
) -> tuple[Path, list[str], list[str]]:
    """Return where things of one run went, what went, and the commands that do it again."""
    run = RunDir(path)
    with run.locked():
        verification = verify(path, bench=bench, images=images)
        findings = [finding for finding in verification.findings if finding.set_aside]
        folder = SetAsideFolder(path, now())
        taken = list(_take(folder, findings))
    redo = {redo for f in findings for part in f.set_aside for redo in part.redo}
    return folder.path, taken, list(_commands(run, redo))


def _take(folder: SetAsideFolder, findings: Sequence[Finding]) -> Iterator[str]:
    """Take everything out and yield what went: files first, then lines, a file at a time.

    Numbers of lines are those of before, so that a file's lines go together.
    """
    files: dict[Path, tuple[SetAside, str]] = {}
    lines: dict[Path, dict[int, str]] = defaultdict(dict)
    facts: dict[Path, list[tuple[SetAside, str]]] = defaultdict(list)
    for finding in findings:
        for part in finding.set_aside:
            if part.lines is None:
                files.setdefault(part.path, (part, finding.what))
            else:
                lines[part.path] |= dict.fromkeys(part.lines, finding.what)
                facts[part.path] += [(part, finding.what)] if part.facts else []
    for path, (part, why) in sorted(files.items()):
        if path.exists():
            folder.take_file(path, why, dict(part.facts))
            yield f"{path}: {why}"
    for path, reasons in sorted(lines.items()):
        if path in files or not reasons:
            continue
        for part, why in facts[path]:
            folder.note(path, why, dict(part.facts))
        numbers = sorted(reasons)
        why = "; ".join(dict.fromkeys(reasons[number] for number in numbers))
        folder.take_lines(path, numbers, why)
        yield f"{path}, {len(numbers)} of its lines: {why}"


def _commands(run: RunDir, redo: set[str]) -> Iterator[str]:
    """Yield the commands that make anew what was set aside: those that worked in the run."""
    if not is_run(run.path):
        return
    try:
        manifest = read_manifest(run.manifest)
    except DpgBenchError:
        return
    shards = [shard for shard in run.shards().values() if is_run(shard.path)]
    joined = redo - {"score"}
    if "generate" in redo and not any(shard.images.is_dir() for shard in shards):
        joined -= {"generate"}  # shards that were only judged have no grids to bring
        if manifest.kind == "generated":
            command = _last(run, manifest, "generate")
            yield command or "the 'dpgbench generate' command of this run"
        else:
            redo.add("score")
    if shards and joined:
        yield f"dpgbench merge {shlex.quote(str(run.path))}"
    if "answers" in redo:
        command = _last(run, manifest, "score", "--answers")
        yield command or "the 'dpgbench score --answers' command"
        return
    judges = sorted(name[1:] for name in redo if name.startswith(":"))
    if not judges and "score" in redo:
        judges = list(manifest.judges)
    for judge in judges:
        yield _score_command(run, manifest, judge)


def _last(run: RunDir, manifest: Manifest, *words: str) -> str | None:
    """Return the last command of the run that has these words."""
    for command in reversed(manifest.commands):
        if all(word in shlex.split(command) for word in words):
            return _for_this_run(run, manifest, command)
    return None


def _for_this_run(run: RunDir, manifest: Manifest, command: str) -> str | None:
    """Return a command that worked in a run for where the run is now; a copy's names the copy.

    None where the command does not name the run by a path that can be told from its other words.
    """
    is_shard = run.path.parent.name == SHARDS
    here = run.path.parent.parent if is_shard else run.path  # commands of shards name the whole
    words = shlex.split(command)
    for path in (here, run.path):
        if any(_is_path(word.removeprefix("--out="), path) for word in words):
            return command
    out = _value(words, "--out")
    if out is not None:
        named = run.path if is_shard and Path(out).parent.name == SHARDS else here
        return shlex.join(_with_out(words, out, str(named)))
    if "generate" in words or manifest.kind != "generated":
        is_default = here.resolve().parent == Path("runs").resolve()
        return command if is_default else f"{command} --out {shlex.quote(str(here))}"
    drawn = next((c for c in manifest.commands if "generate" in shlex.split(c)), "")
    before = _value(shlex.split(drawn), "--out")
    names = {Path(before).name} if before else {here.name}
    places = [place for place, word in enumerate(words) if Path(word).name in names]
    if len(places) != 1:
        return None
    return shlex.join([*words[: places[0]], str(here), *words[places[0] + 1 :]])


def _is_path(word: str, path: Path) -> bool:
    return bool(word) and Path(word).resolve() == path.resolve()


def _with_out(words: Sequence[str], old: str, new: str) -> list[str]:
    changed = list(words)
    for place, word in enumerate(changed):
        if word == f"--out={old}":
            changed[place] = f"--out={new}"
        elif word == old and place and changed[place - 1] == "--out":
            changed[place] = new
    return changed


def _score_command(run: RunDir, manifest: Manifest, judge: str) -> str:
    """Return the command that asked a judge, or one that names it."""
    for command in reversed(manifest.commands):
        words = shlex.split(command)
        if "score" not in words or "--answers" in words:
            continue
        name = _value(words, "--judge") or DEFAULT_JUDGE
        more = [_value(words, "--decode"), _value(words, "--dtype")]
        if ":".join([name, *(word for word in more if word)]) == judge:
            if here := _for_this_run(run, manifest, command):
                return here
            break
    return f"dpgbench score {shlex.quote(str(run.path))} --judge {shlex.quote(judge)}"


def _value(words: Sequence[str], option: str) -> str | None:
    for place, word in enumerate(words):
        if word == option and place + 1 < len(words):
            return words[place + 1]
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None
