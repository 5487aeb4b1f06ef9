"""Images and the log of their hashes: is each there and whole, and the one that was judged."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dpgbench.domain.spec import GridSpec, check_seed_rule, seed_for
from dpgbench.errors import DataError, DpgBenchError, counted, shortened
from dpgbench.jobs.verify.findings import Findings, SetAside
from dpgbench.jobs.verify.subject import Subject
from dpgbench.store.image_files import ImageFiles, files_of, find_images, find_patterned
from dpgbench.store.images import check_grid_size, infer_grid, is_whole, read_picture_size
from dpgbench.store.run.image_log import ImageLine, image_hashes
from dpgbench.store.run.lines import Lines, RunLine, examine_lines

_SHA256 = re.compile(r"[0-9a-f]{64}")
GENERATE = "the same 'dpgbench generate' command"


class SeenImage(NamedTuple):
    """What one image is.

    Attributes:
        sha256: as its log line has it; None where a file is gone.
        fault: why it cannot be opened, or is of another size; None where it is sound.
    """

    sha256: str | None
    fault: str | None


@dataclass(frozen=True)
class LoggedImages:
    """The log of a run's images.

    Attributes:
        lines: all that can be read.
        last: of each item, the line that counts.
        numbers: of each item, the numbers of all of its lines.
    """

    lines: Lines
    last: Mapping[str, RunLine]
    numbers: Mapping[str, tuple[int, ...]]

    def sha256(self, item_id: str) -> str | None:
        """Return the hash of an item's image, where the log has one."""
        line = self.last.get(item_id)
        sha = line.record.get("sha256") if line else None
        return sha if isinstance(sha, str) else None

    def set_aside(self, path: Path, item_id: str) -> tuple[SetAside, ...]:
        """Return what takes an item's lines out."""
        numbers = self.numbers.get(item_id)
        return (SetAside(path, numbers, ("generate",)),) if numbers else ()


def read_log(path: Path) -> LoggedImages:
    """Return what the log at `path` holds, as far as it can be read."""
    lines = examine_lines(path, ImageLine)
    numbers: dict[str, list[int]] = defaultdict(list)
    for line in lines.good:
        numbers[line.record["item_id"]].append(line.number)
    return LoggedImages(
        lines,
        {line.record["item_id"]: line for line in lines.good},
        {item_id: tuple(of_item) for item_id, of_item in numbers.items()},
    )


def look_at_images(subject: Subject, findings: Findings) -> LoggedImages:
    """Look at every image of a run and every line of its log, and return the log."""
    log = read_log(subject.run.images_log)
    if subject.manifest.kind == "answers":
        return log
    _look_at_lines(subject, log, findings)
    images = _find_images(subject, findings)
    if images is None:
        return log
    seen = _look_at_files(images, _expected_size(subject, images, findings))
    findings.checked["images"] += len(seen)
    for item_id in dict.fromkeys([*subject.manifest.items, *log.last]):
        if item_id not in seen:
            continue
        if subject.generated:
            _judge_drawn(subject, log, item_id, seen[item_id], findings)
        else:
            _judge_of_others(subject, log, item_id, seen[item_id], images[item_id], findings)
    _tell_missing(subject, log, images, findings)
    return log


def _look_at_lines(subject: Subject, log: LoggedImages, findings: Findings) -> None:
    """Look at the log alone: can each line be read, is it about an item, has it what it must."""
    path = subject.run.images_log
    where = subject.shown(path)
    findings.checked["image lines"] += len(log.lines.good)
    for bad in log.lines.bad:
        findings.add(
            "damaged",
            "bad-line",
            f"{where} line {bad.number}",
            f"it is not a record of an image: {bad.fault}",
            "'--repair' takes it out, then " + _logs_again(subject),
            set_aside=[SetAside(path, (bad.number,), ("generate",))],
        )
    tell_form(where, log.lines, findings)
    items = set(subject.manifest.items)
    for item_id, line in log.last.items():
        place = f"{where} line {line.number}"
        if item_id not in items:
            findings.add(
                "damaged",
                "unknown-item",
                place,
                f"{item_id} is none of the items in manifest.json",
                "'--repair' takes the line out",
                set_aside=log.set_aside(path, item_id),
            )
            continue
        fault = _line_fault(subject, line.record)
        if fault:
            findings.add(
                "damaged",
                "bad-line",
                place,
                f"{item_id}: {fault}",
                "'--repair' takes it out, then " + _logs_again(subject),
                set_aside=log.set_aside(path, item_id),
            )


def _logs_again(subject: Subject) -> str:
    return f"{GENERATE} logs the image anew" if subject.generated else "'dpgbench score' logs it"


def tell_form(where: str, lines: Lines, findings: Findings) -> None:
    """Say of lines that can be read what is odd about them."""
    if lines.torn_bytes:
        findings.add(
            "note",
            "torn-line",
            where,
            f"its last line has no end ({counted(lines.torn_bytes, 'byte')}): a kill came while it "
            "was written; the next command cuts it off",
        )
    for name, number in lines.unknown_fields:
        findings.add(
            "unverified",
            "unknown-field",
            where,
            f"{counted(number, 'line')} with a field {name!r}, which this version does not know",
            "verify with the version of dpgbench that wrote it",
        )
    if lines.reformatted:
        findings.add(
            "note",
            "other-form",
            where,
            f"{counted(lines.reformatted, 'line')} written otherwise than dpgbench writes them "
            "(spaces, order of fields); what they hold counts",
        )


def _line_fault(subject: Subject, record: Mapping[str, object]) -> str | None:
    """Return what an image's line says that cannot be."""
    item_id, sha, error = record["item_id"], record.get("sha256"), record.get("error")
    if sha is not None and not _SHA256.fullmatch(str(sha)):
        return f"sha256 {sha!r} is none"
    if (sha is None) == (error is None):
        return "it has neither a hash nor an error" if sha is None else "it has a hash and an error"
    tiles = record.get("single_colour") or []
    if isinstance(tiles, list) and any(t not in range(subject.manifest.num_images) for t in tiles):
        return f"single_colour {tiles} names a tile that there is not"
    seconds = record.get("seconds")
    if isinstance(seconds, int | float) and seconds < 0:
        return f"seconds is {seconds}"
    seeds = record.get("seeds")
    if subject.generated and seeds is not None:
        wanted = _seeds(subject, str(item_id))
        if wanted is not None and seeds != wanted:
            return f"seeds are {seeds}, by the run's rule {wanted}"
    return None


def _seeds(subject: Subject, item_id: str) -> list[int] | None:
    """Return the seeds of an item by the run's own rule; None where it is not recorded."""
    drawn = subject.manifest.identity["generation"]
    try:
        rule, base = check_seed_rule(drawn["seed_rule"]), drawn["base_seed"]
    except (KeyError, DpgBenchError):
        return None
    return [seed_for(rule, base, item_id, tile) for tile in range(subject.manifest.num_images)]


def _find_images(subject: Subject, findings: Findings) -> dict[str, ImageFiles] | None:
    """Return the files of each item of the run that has an image; None where they are elsewhere."""
    folder, items = subject.folder, subject.manifest.items
    if folder is None or not folder.is_dir():
        if subject.generated:
            return {}
        findings.add(
            "unverified",
            "images-elsewhere",
            str(folder),
            f"there is no such folder: the images of {counted(len(items), 'item')} were not "
            "compared with their hashes",
            "name the folder that they are in now with --images",
        )
        return None
    if subject.generated:
        paths = {item_id: subject.run.image(item_id) for item_id in items}
        return {item_id: path for item_id, path in paths.items() if path.is_file()}
    try:
        if subject.pattern is None:
            return dict(find_images(folder, items))
        chosen = [item_id for item_id in items if item_id in subject.prompts]
        layout = find_patterned(
            folder, subject.pattern, chosen, subject.prompts, subject.manifest.num_images
        )
        return dict(layout.images)
    except DpgBenchError as error:
        findings.add("damaged", "images", str(folder), str(error), "put the old images back")
        return None


def _expected_size(
    subject: Subject, images: Mapping[str, ImageFiles], findings: Findings
) -> GridSpec | None:
    """Return the size that images must have; of other people's, what scoring would take it for."""
    if subject.grid or not images or (subject.pattern and subject.pattern.has_tiles):
        return subject.grid
    paths = [path for image in images.values() for path in files_of(image)]
    try:
        return infer_grid(paths, subject.manifest.num_images, None, subject.layout)
    except DataError as error:
        findings.add("damaged", "size", str(subject.folder), str(error), "put the old images back")
        return None


def _look_at_files(images: Mapping[str, ImageFiles], grid: GridSpec | None) -> dict[str, SeenImage]:
    """Return what each image is; files are read in threads."""
    from tqdm import tqdm

    def look(image: ImageFiles) -> SeenImage:
        sha = image_hashes({"": image}).get("")
        return SeenImage(sha, next(_faults(image, grid), None))

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        seen = pool.map(look, images.values())
        return dict(
            zip(
                images,
                tqdm(seen, total=len(images), unit="image", desc="verify", leave=False),
                strict=True,
            )
        )


def _faults(image: ImageFiles, grid: GridSpec | None) -> Iterator[str]:
    for path in files_of(image):
        try:
            size = read_picture_size(path)
            if grid is not None:
                check_grid_size(path, size, grid)
        except DataError as error:
            yield str(error)


def _judge_drawn(
    subject: Subject, log: LoggedImages, item_id: str, seen: SeenImage, findings: Findings
) -> None:
    """Say what is wrong with a grid that the toolkit drew."""
    path, logged = subject.run.image(item_id), log.sha256(item_id)
    where = subject.shown(path)
    facts = (("item_id", item_id), ("logged_sha256", logged), ("sha256", seen.sha256))
    aside = [
        SetAside(path, None, ("generate",), facts),
        *log.set_aside(subject.run.images_log, item_id),
    ]
    again = f"'--repair' sets it aside, then {GENERATE} draws it again"
    if logged == seen.sha256 and seen.fault is None:
        findings.checked["hashes"] += 1
    elif logged == seen.sha256:
        findings.add(
            "damaged", "size", where, f"{seen.fault}; yet it is the file that was logged",
            "the settings in manifest.json are not those that it was drawn with: restore that file",
        )  # fmt: skip
    elif logged is not None:
        grid = subject.grid
        whole = seen.fault is None and grid is not None and is_whole(path, grid)
        what = (
            "it opens, but is not the picture that was logged (another sha256)"
            if whole
            else f"it is damaged: {seen.fault or 'its bytes do not fit its checksums'}"
        )
        findings.add("damaged", "grid", where, what, again, set_aside=aside, item_id=item_id)
    elif seen.fault is not None or (subject.grid and not is_whole(path, subject.grid)):
        what = f"it is damaged: {seen.fault or 'its bytes do not fit its checksums'}"
        findings.add("damaged", "grid", where, what, again, set_aside=aside, item_id=item_id)
    else:
        findings.add(
            "unverified", "no-hash", where, "images.jsonl has no hash of it",
            f"{GENERATE} logs it",
        )  # fmt: skip


def _judge_of_others(
    subject: Subject,
    log: LoggedImages,
    item_id: str,
    seen: SeenImage,
    image: ImageFiles,
    findings: Findings,
) -> None:
    """Say what is wrong with an image that was found in a folder."""
    where = ", ".join(map(str, files_of(image)[:2])) + " ..." * (len(files_of(image)) > 2)
    logged = log.sha256(item_id)
    if logged is None:
        findings.add(
            "unverified", "no-hash", where, "images.jsonl has no hash of it",
            f"'dpgbench score {subject.run.path}' logs it",
        )  # fmt: skip
    elif logged != seen.sha256:
        findings.add(
            "damaged", "image-changed", where,
            f"it is not the image of {item_id} that was judged (another sha256)",
            "put the old one back, or score the new ones into another --out",
            item_id=item_id,
        )  # fmt: skip
    elif seen.fault is not None:
        findings.add("incomplete", "size", where, seen.fault, "it is not judged; give another one")
    else:
        findings.checked["hashes"] += 1


def _tell_missing(
    subject: Subject, log: LoggedImages, images: Mapping[str, ImageFiles], findings: Findings
) -> None:
    """Say which items have no image: one finding for those that were there, one for the rest."""
    missing = [item_id for item_id in subject.manifest.items if item_id not in images]
    gone = [item_id for item_id in missing if log.sha256(item_id)]
    at_home = subject.drawn_at_home(missing)
    never = [i for i in missing if not log.sha256(i) and i not in at_home]
    place = str(subject.folder) if not subject.generated else subject.shown(subject.run.images)
    if gone:
        aside = [part for i in gone for part in log.set_aside(subject.run.images_log, i)]
        findings.add(
            "incomplete", "grid-gone", place,
            f"{_are(gone, 'image')} that images.jsonl has the hash of gone: {shortened(gone)}",
            f"{GENERATE} draws them again" if subject.generated else
            "put them back, or name the folder that they are in now with --images",
            set_aside=aside if subject.generated else (), items=gone,
        )  # fmt: skip
    if never:
        failed = {i: str(log.last[i].record.get("error")) for i in never if i in log.last}
        first = next(iter(failed.items()), None)
        why = f"; {len(failed)} failed, first {first[0]}: {first[1]}" if first else ""
        findings.add(
            "incomplete", "no-image", place,
            f"{counted(len(never), 'item')} of {len(subject.manifest.items)} without an image: "
            f"{shortened(never)}{why}",
            f"{GENERATE} draws them" if subject.generated else "put them there",
            items=never, failed=failed,
        )  # fmt: skip


def _are(things: Sequence[str], noun: str) -> str:
    return f"{counted(len(things), noun)} {'is' if len(things) == 1 else 'are'}"
