"""Make the control of a run: the same pictures, each given to another prompt.

    python -m scripts.embedded.evaluate.shuffle RUN NEW_RUN
    dpgbench score NEW_RUN --judge tiny-mplug

What a control scores is what pictures of this kind score when the prompt does not matter. The new
run is a run as any other; its manifest says what it is.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dpgbench.domain.spec import GridSpec
from dpgbench.errors import DataError, DpgBenchError, UsageError, shortened
from dpgbench.shapes.stable_random import StableRandom
from dpgbench.store.files import json_line, write_atomic
from dpgbench.store.images import is_whole, write_image
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.image_log import image_line, read_image_log
from dpgbench.store.run.manifest import Manifest, now, read_manifest

SUFFIX = " (shuffled)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the control; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="made by 'dpgbench generate'")
    parser.add_argument("new_run", type=Path, help="folder for the control; must not exist")
    parser.add_argument("--seed", type=int, default=0, help="chooses who gets whose pictures")
    options = parser.parse_args(arguments)
    try:
        num_items = shuffle(RunDir(options.run), RunDir(options.new_run), options.seed)
    except DpgBenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{num_items} grids given to other prompts: {options.new_run}")
    return 0


def shuffle(run: RunDir, new_run: RunDir, seed: int) -> int:
    """Write the control of a run; returns how many items it has.

    Raises:
        DataError: an item of the run has no intact grid.
        UsageError: the run was not generated, has one item only, or the new folder exists.
    """
    manifest = read_manifest(run.manifest)
    if manifest.kind != "generated":
        raise UsageError(f"{run.path} has no pictures of its own; name a run of generate")
    if new_run.path.exists():
        raise UsageError(f"{new_run.path} exists; choose another folder")
    _check_grids(run, manifest)
    givers = derangement(manifest.items, seed)
    control = control_manifest(manifest, run.name, seed)
    with new_run.locked():
        control.write(new_run.manifest)
        new_run.images.mkdir()
        records = read_image_log(run.images_log)
        lines = []
        for item_id in control.items:
            giver = givers[item_id]
            data = run.image(giver).read_bytes()
            write_image(new_run.image(item_id), data)
            line = image_line(
                item_id,
                sha256=hashlib.sha256(data).hexdigest(),
                seeds=records[giver].get("seeds") if giver in records else None,
            )
            lines.append(json_line({**line, "drawn_for": giver}))
        write_atomic(new_run.images_log, "".join(lines))
    return len(lines)


def derangement(items: Sequence[str], seed: int) -> dict[str, str]:
    """For each item another one, none twice: one cycle through all, in random order.

    Raises:
        UsageError: there are not two items.
    """
    if len(items) < 2:
        raise UsageError("a run of one item cannot be shuffled; draw more items")
    order = StableRandom("shuffled run", seed).shuffled(items)
    return dict(zip(order, [*order[1:], order[0]], strict=True))


def control_manifest(manifest: Manifest, of: str, seed: int) -> Manifest:
    """What the control is: another identity, no judges, no cut prompts, a note for every report."""
    made_from = {"identity_hash": manifest.identity_hash, "seed": seed}
    generation = manifest.generation.copy()
    generation.pop("truncation", None)
    generation["shuffled"] = {**made_from, "run": of}
    control = replace(
        manifest,
        model=f"{manifest.model}{SUFFIX}",
        identity={**manifest.identity, "shuffled": made_from},
        generation=generation,
        judges={},
        notes=[*manifest.notes],
        commands=[],
        created="",
        completed=now(),
    )
    control.note(
        f"control: every picture was drawn by {manifest.model} for another prompt "
        f"(run {of}, shuffled with seed {seed})"
    )
    return control


def _check_grids(run: RunDir, manifest: Manifest) -> None:
    spec = manifest.identity["generation"]
    grid = GridSpec(manifest.num_images, spec["width_px"], spec["height_px"])
    broken = [item for item in manifest.items if not is_whole(run.image(item), grid)]
    if broken:
        raise DataError(
            f"{run.path} lacks intact grids of {shortened(broken)}; "
            "finish it with the command that made it"
        )


if __name__ == "__main__":
    raise SystemExit(main())
