"""The manifest: is it whole, does it agree with itself, with the benchmark and with the log."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from dpgbench.backends.judges.table import makes_questions
from dpgbench.domain.benchmark import Benchmark
from dpgbench.errors import DataError, DpgBenchError, SetupError, counted, shortened
from dpgbench.jobs.verify.findings import Findings
from dpgbench.jobs.verify.grids import GENERATE, LoggedImages
from dpgbench.jobs.verify.subject import Subject
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.hashes import digest
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.manifest import (
    BenchmarkRecord,
    EnvironmentRecord,
    GenerationRecord,
    Manifest,
    SingleColourRecord,
    TruncationRecord,
    find_recorded_benchmark,
    read_manifest,
)
from dpgbench.store.typed_json import fields_of

_RESTORE = "restore it from a copy, or make the run anew in another --out"


def look_at_manifest(run: RunDir, findings: Findings) -> Manifest | None:
    """Return the manifest of a run; None where it cannot be read."""
    try:
        manifest = read_manifest(run.manifest)
    except DpgBenchError as error:
        findings.add(
            "damaged", "manifest", run.manifest.name, _within(run, error),
            "restore it from a copy: without it nothing tells what the run is",
        )  # fmt: skip
        return None
    findings.checked["manifest"] += 1
    _tell_unknown(manifest, findings)
    _check_times(manifest, findings)
    _check_drawn(manifest, findings)
    return manifest


_PARTS: Mapping[str, Any] = {
    "benchmark": BenchmarkRecord,
    "generation": GenerationRecord,
    "generation.truncation": TruncationRecord,
    "generation.single_colour": SingleColourRecord,
    "environment": EnvironmentRecord,
}
"""Parts of a manifest that this version knows all fields of; a judge describes itself freely."""


def _tell_unknown(manifest: Manifest, findings: Findings) -> None:
    for place, kind in _PARTS.items():
        part: Any = manifest
        for name in place.split("."):
            part = part.get(name, {}) if isinstance(part, Mapping) else getattr(part, name)
        unknown = sorted(set(part) - {field.name for field in fields_of(kind)})
        if unknown:
            findings.add(
                "unverified",
                "unknown-field",
                f"manifest.json, {place}",
                f"it has {shortened(unknown)}, which this version does not know",
                "verify with the version of dpgbench that wrote it",
            )


def _within(run: RunDir, error: DpgBenchError) -> str:
    """Return an error's words without the run's path, which stands before them."""
    return str(error).replace(f"{run.manifest}: ", "").replace(f"{run.manifest} ", "it ")


def _damaged(findings: Findings, where: str, what: str, action: str = _RESTORE) -> None:
    findings.add("damaged", "manifest", f"manifest.json, {where}", what, action)


def _check_times(manifest: Manifest, findings: Findings) -> None:
    times = {"created": manifest.created, "completed": manifest.completed}
    for name, text in times.items():
        if not text:
            continue
        try:
            datetime.fromisoformat(text)
        except ValueError:
            _damaged(findings, name, f"{text!r} is no time", "set it right: it is a record only")


def _check_drawn(manifest: Manifest, findings: Findings) -> None:
    """Compare what stands twice in the manifest of a generated run."""
    if manifest.kind != "generated":
        return
    drawn = manifest.identity["generation"]
    if drawn.get("model") not in (None, manifest.model):
        _damaged(
            findings, "model", f"it is {manifest.model!r}, in the identity {drawn.get('model')!r}"
        )
    decided = manifest.identity.get("weights", {})
    recorded = manifest.generation.get("weights")
    if recorded is None:
        if decided:
            findings.add(
                "unverified", "weights", "manifest.json, generation.weights",
                "the weights' files are not recorded beside their hash",
            )  # fmt: skip
        return
    for role in sorted({*decided, *recorded}):
        files = recorded.get(role, {}).get("files", {})
        hashes = [decided.get(role), recorded.get(role, {}).get("sha256")]
        if isinstance(files, dict) and files:
            hashes.append(digest({str(name): str(sha) for name, sha in files.items()}))
        if len(set(map(str, hashes))) > 1:
            _damaged(
                findings, f"generation.weights.{role}",
                "its hash, that of its files and that of the identity are not the same",
            )  # fmt: skip


def find_benchmark(
    manifest: Manifest, findings: Findings, bench: str | None = None
) -> Benchmark | None:
    """Return the benchmark of a run as it was then; None where it is gone or changed."""
    record, where = manifest.benchmark, "manifest.json, benchmark"
    try:
        benchmark = load_benchmark(bench or find_recorded_benchmark(record))
    except SetupError as error:
        findings.add("unverified", "benchmark", where, str(error))
        return None
    except DpgBenchError as error:
        findings.add(
            "unverified", "benchmark", where, str(error),
            "name a copy of it with --bench; until then neither answers nor scores are verified",
        )  # fmt: skip
        return None
    if not _is_same(record, benchmark, findings):
        return None
    _check_counts(record, benchmark, where, findings)
    _check_items(manifest, benchmark, findings)
    asking = [judge for judge in manifest.judges if not makes_questions(judge)]
    if not benchmark.has_graphs and asking:
        findings.add(
            "unverified", "questions", where,
            f"benchmark {benchmark.name} has prompts but no questions here: neither answers nor "
            "scores are verified",
            "get them with 'dpgbench prompts pull'",
        )  # fmt: skip
    return benchmark


def _is_same(record: BenchmarkRecord, benchmark: Benchmark, findings: Findings) -> bool:
    """Return whether prompts and questions are those of the run, as far as it says."""
    present: Mapping[str, str | None] = {
        "prompts_sha256": benchmark.prompts_sha256,
        "questions_sha256": benchmark.questions_sha256 if benchmark.has_graphs else None,
    }
    same = True
    for name, sha in present.items():
        recorded = record.get(name)
        if recorded is None and sha is not None:
            findings.add(
                "unverified", "benchmark", f"manifest.json, benchmark.{name}",
                "it is not recorded, so that nothing tells whether the benchmark was changed",
            )  # fmt: skip
        elif sha is not None and recorded != sha:
            same = False
            what = name.partition("_")[0]
            findings.add(
                "damaged", "benchmark-changed", f"manifest.json, benchmark.{name}",
                f"{benchmark.path} has other {what} than the run ({str(recorded)[:12]} -> "
                f"{sha[:12]})",
                "restore that file, or name a copy with --bench; until then neither answers nor "
                "scores are verified",
            )  # fmt: skip
    return same


def _check_counts(
    record: BenchmarkRecord, benchmark: Benchmark, where: str, findings: Findings
) -> None:
    counts = {"items": len(benchmark.prompts), "questions": benchmark.num_questions}
    names: dict[str, Any] = {"name": benchmark.name} if _is_named(record, benchmark) else {}
    if not benchmark.has_graphs:
        del counts["questions"]
    for name, present in {**counts, **names}.items():
        recorded = dict(record).get(name)
        if recorded not in (None, present):
            _damaged(findings, f"benchmark.{name}", f"it is {recorded!r}, in the file {present!r}")


def _is_named(record: BenchmarkRecord, benchmark: Benchmark) -> bool:
    """Return whether the benchmark was read from the place that the run names."""
    path = record.get("path")
    return path is None or Path(path) == benchmark.path.resolve()


def _check_items(manifest: Manifest, benchmark: Benchmark, findings: Findings) -> None:
    unknown = [item_id for item_id in manifest.items if item_id not in benchmark.prompts]
    if unknown:
        _damaged(
            findings, "items",
            f"{counted(len(unknown), 'item')} that {benchmark.name} has not: {shortened(unknown)}",
        )  # fmt: skip
    order = [item_id for item_id in benchmark.prompts if item_id in set(manifest.items)]
    if not unknown and order != manifest.items:
        _damaged(findings, "items", "they are not in the benchmark's order, or one stands twice")


def look_at_judges(subject: Subject, findings: Findings) -> None:
    """Compare what is recorded of each judge with the questions."""
    for judge, record in subject.manifest.judges.items():
        benchmark = subject.of_judge(judge).benchmark
        if subject.benchmark and benchmark is None:
            _damaged(
                findings, f"{judge}'s questions",
                f"{subject.shown(subject.run.questions(judge))} cannot be read",
                "remove it; the same 'dpgbench score' command writes it anew",
            )  # fmt: skip
        place = f"judges.{judge}"
        asked = subject.manifest.questions_sha256(judge)
        is_asked = subject.run.answers(judge).exists() or subject.answered_at_home(judge)
        if not is_asked:
            findings.add(
                "incomplete", "not-judged", f"manifest.json, {place}",
                "there is no file of its answers", "the same 'dpgbench score' command asks it",
            )  # fmt: skip
        if asked is None:
            findings.add(
                "unverified", "questions", f"manifest.json, {place}",
                "nothing tells which questions it was asked",
            )  # fmt: skip
        elif benchmark and benchmark.has_graphs and asked != benchmark.questions_sha256:
            _damaged(
                findings, f"{place}.questions_sha256",
                f"it was asked other questions than {benchmark.path} has",
                "restore that file, or score into another --out",
            )  # fmt: skip
        if record.get("truncated_questions", 0) < 0:
            _damaged(findings, f"{place}.truncated_questions", "it is below 0")


def look_at_counts(subject: Subject, log: LoggedImages, findings: Findings) -> None:
    """Compare what the manifest of a generated run counts with the log of its images."""
    manifest = subject.manifest
    if not subject.generated or manifest.completed is None:
        return  # counted at the end of each command
    again = f"{GENERATE} counts anew"
    logged = {i: log.last[i].record for i in manifest.items if i in log.last}
    alike = {
        i: record["single_colour"] for i, record in logged.items() if "single_colour" in record
    }
    if "single_colour" in manifest.generation:
        recorded = manifest.single_colour
        count = manifest.generation["single_colour"].get("tiles")
        if dict(recorded) != alike or count not in (None, sum(map(len, recorded.values()))):
            _damaged(
                findings, "generation.single_colour", "images.jsonl has other tiles of one colour",
                again,
            )  # fmt: skip
    errors = {i: r["error"] for i, r in logged.items() if r.get("error")}
    failed = manifest.generation.get("failed")
    if failed is not None and any(errors.get(i) != why for i, why in failed.items()):
        _damaged(findings, "generation.failed", "images.jsonl has other failures", again)
    cut = manifest.generation.get("truncation")
    if cut and cut.get("items") is not None:
        named = cut["items"] or []
        odd = [i for i in named if i not in manifest.items]
        wrong = cut.get("truncated") not in (None, len(named))
        if odd or wrong or cut.get("prompts", 0) > len(manifest.items):
            _damaged(
                findings, "generation.truncation", "its counts and its items do not fit",
                "set it right: it is a record only",
            )  # fmt: skip


def check_is_run(run: RunDir) -> None:
    """Raise where there is nothing to look at.

    Raises:
        DataError: there is no such folder.
    """
    if not run.path.is_dir():
        raise DataError(f"{run.path} is not there; name a run, such as a folder under runs/")
