"""The manifest of a merged run: what its sources say, each counted once."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from dpgbench.domain.benchmark import Benchmark
from dpgbench.jobs.merge.images import MergedImages
from dpgbench.jobs.merge.sources import RunPart
from dpgbench.store.run.batches import record_batches
from dpgbench.store.run.manifest import (
    BatchRecord,
    JudgeRecord,
    Manifest,
    MergedRecord,
    TruncationRecord,
    add_accounts,
)


def begun(home: RunPart | None, sources: Sequence[RunPart], benchmark: Benchmark) -> Manifest:
    """Return the manifest with which merging begins: all items, and what was merged before."""
    if home:
        manifest = copy.deepcopy(home.manifest)
    else:
        manifest = replace(
            copy.deepcopy(sources[0].manifest),
            items=[],
            judges={},
            notes=[],
            commands=[],
            created=min(source.manifest.created for source in sources),
            file_names={},
        )
        for name in (
            "shard",
            "merged",
            "account",
            "truncation",
            "failed",
            "single_colour",
            "batch",
        ):
            manifest.generation.pop(name, None)  # type: ignore[misc]
    manifest.completed = None
    chosen = [item for source in sources for item in source.chosen]
    manifest.add_items(chosen, benchmark.prompts)
    return manifest


def completed(
    manifest: Manifest, sources: Sequence[RunPart], home: RunPart | None, images: MergedImages
) -> None:
    """Add to a manifest that was `begun` what its sources hold; what is in it already stays."""
    others = [source for source in sources if source is not home]
    record = manifest.generation
    merged = record.setdefault("merged", {})
    for source in others:
        before: MergedRecord = merged.get(source.key, merged.pop(source.former_key, {}))
        manifest.note(*source.manifest.notes)
        manifest.commands += source.manifest.commands[before.get("commands", 0) :]
        accounts = before.get("accounts", {})
        for name, judge in source.manifest.judges.items():
            _add_judge(manifest, name, judge, accounts.get(name, {}))
        if drawing := source.manifest.generation.get("account"):
            since = _since(before.get("drawing", {}), drawing)
            record["account"] = add_accounts(record.get("account", {}), since)
        spent = {
            name: _most(accounts.get(name, {}), judge["account"])
            for name, judge in source.manifest.judges.items()
            if "account" in judge
        }
        drawn = source.manifest.generation.get("account", {})
        merged[source.key] = {
            "run": source.run.name,
            "commands": max(before.get("commands", 0), len(source.manifest.commands)),
            "accounts": {**accounts, **spent},
            "drawing": _most(before.get("drawing", {}), drawn),
        }
    if manifest.kind == "generated":
        record["failed"] = {i: images.failures[i] for i in manifest.items if i in images.failures}
    if devices := _distinct(source.manifest.generation.get("device") for source in sources):
        record["device"] = ", ".join(devices)
    if truncation := _truncation(manifest.items, sources):
        record["truncation"] = truncation
    alike = {item: t for source in sources for item, t in source.manifest.single_colour.items()}
    alike |= {line["item_id"]: line["single_colour"] for line in images.lines if _alike(line)}
    if alike or any("single_colour" in source.manifest.generation for source in sources):
        manifest.record_single_colour({i: alike[i] for i in manifest.items if i in alike})
    if batch := _batch(sources):
        record["batch"] = batch
        record_batches(manifest, {line["item_id"]: line for line in images.lines})


def _batch(sources: Sequence[RunPart]) -> BatchRecord:
    """Return how images shared calls: as the last source says, but what fits fits everywhere."""
    batch: BatchRecord = {}
    for source in sources:
        own = source.manifest.generation.get("batch", {})
        fits = [b["images_that_fit"] for b in (batch, own) if "images_that_fit" in b]
        batch |= own
        if fits:
            batch["images_that_fit"] = min(fits)
    return batch


def _alike(line: Mapping[str, Any]) -> bool:
    return bool(line.get("single_colour"))


def _distinct(values: Iterable[str | None]) -> list[str]:
    """Return devices, each once; those of a merged run are several already."""
    names = [name for value in values if value for name in value.split(", ")]
    return list(dict.fromkeys(names))


def _add_judge(
    manifest: Manifest, name: str, judge: JudgeRecord, account_before: Mapping[str, Any]
) -> None:
    """Add what asking a judge cost in another run, since that was last added."""
    if name not in manifest.judges:
        manifest.judges[name] = cast(
            "JudgeRecord", {key: value for key, value in judge.items() if key != "account"}
        )
    if "account" in judge:
        since = _since(account_before, judge["account"])
        record = manifest.judges[name]
        record["account"] = add_accounts(record.get("account", {}), since)


def _since(before: Mapping[str, Any], latest: Mapping[str, Any]) -> dict[str, Any]:
    """Return an account without what was counted of it before; nothing of an older copy's."""
    since = dict(latest)
    for name, value in latest.items():
        old = before.get(name)
        if isinstance(value, int | float) and isinstance(old, int | float):
            since[name] = round(max(0, value - old), 6)
    return since


def _most(before: Mapping[str, Any], latest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the account of a run of which two copies may have been seen: the later one's."""
    most = copy.deepcopy({**before, **latest})
    for name, value in latest.items():
        old = before.get(name)
        if isinstance(value, int | float) and isinstance(old, int | float):
            most[name] = max(old, value)
    return most


def _truncation(items: Sequence[str], sources: Sequence[RunPart]) -> TruncationRecord | None:
    """Return which prompts were cut, over all runs; each prompt counts once."""
    looked = [source for source in sources if "truncation" in source.manifest.generation]
    records = [source.manifest.generation["truncation"] for source in looked]
    if not records:
        return None
    cut = {item for record in records for item in record.get("items") or ()}
    prompts = {item for source in looked for item in source.manifest.items}
    if any(record.get("items") is None for record in records):  # of an earlier version
        number = sum(record.get("truncated", 0) for record in records)
        return {
            "limit": records[0].get("limit"),
            "truncated": number,
            "prompts": len(prompts),
            "items": None,
        }
    return {
        "limit": records[0].get("limit"),
        "truncated": len(cut),
        "prompts": len(prompts),
        "items": [item for item in items if item in cut],
    }
