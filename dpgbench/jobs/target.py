"""What is scored: a run of this toolkit, a folder of other people's images, or recorded answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.own_questions import OwnQuestion
from dpgbench.domain.shard import Shard
from dpgbench.domain.spec import GridSpec, Layout
from dpgbench.errors import DataError, ResumeMismatchError, counted, shortened
from dpgbench.store.hashes import sha256_file
from dpgbench.store.image_files import (
    ImageFiles,
    ImagePattern,
    count_strays,
    files_of,
    find_images,
    find_patterned,
    suggest_pattern,
)
from dpgbench.store.images import KINDS, check_grid_size, fitting_layouts, infer_grid, read_size
from dpgbench.store.run.answers import read_answer_file
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.image_log import (
    ImageLine,
    changed_images,
    image_hashes,
    image_line,
    read_image_log,
)
from dpgbench.store.run.manifest import Manifest, open_manifest

log = logging.getLogger(__name__)

UNVERIFIED = "images were not compared with the hashes in images.jsonl (--no-verify)"


@dataclass
class Target:
    """Something to score, and the run directory that its answers and results go to.

    Attributes:
        items: ids that results must cover.
        folder: where images are; None where answers are recorded.
        grid: known size of the images; None is to be found from the images themselves.
        tile_px: side of a square tile, as the user said.
        layout: rows and columns of tiles in an image, as the user said.
        pattern: where the files of an item are, as the user said.
        verify: compare images with the hashes that the run has of them.
        fresh: the run is not there yet, so that what is assumed of its images can be refused.
        moved: `folder` is the images' new place, for the manifest.
        hashes: of the images that are there, by item.
        image_files: of the items that have an image.
        before_work: called with the target, inside the run's lock.
        shard: which part of the items this is, of a run that others work on too; None is all.
        chosen: the items of all parts.
        home: the run that this is a part of, where it is there; what it has is done.
        announce: called with each note on what was assumed, before the judge is asked.
        own_questions: those that the judge made of the prompts; none where it asks the benchmark's.
        recorded_judge: whose answers recorded ones go by.
        reasons: why items have no recorded answer, by id.
    """

    run: RunDir
    manifest: Manifest
    benchmark: Benchmark
    items: Sequence[str]
    num_images: int
    folder: Path | None = None
    grid: GridSpec | None = None
    tile_px: int | None = None
    layout: Layout | None = None
    pattern: ImagePattern | None = None
    verify: bool = True
    fresh: bool = False
    moved: bool = False
    hashes: Mapping[str, str] = field(default_factory=dict)
    image_files: Mapping[str, ImageFiles] = field(default_factory=dict)
    before_work: Callable[[Target], None] = field(default=lambda target: None)
    shard: Shard | None = None
    chosen: Sequence[str] = ()
    home: RunDir | None = None
    announce: Callable[[str], None] = field(default=lambda note: None)
    own_questions: Sequence[OwnQuestion] = ()
    recorded_judge: str = "replay"
    reasons: Mapping[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Write the manifest before any work, or check it against the one that is there.

        Raises:
            ResumeMismatchError: the run holds other work, or an image changed since it was drawn
                or judged.
        """
        self.manifest = open_manifest(self.run.manifest, self.manifest)
        self._verify()
        self.manifest.add_items(self.items, self.benchmark.prompts)
        if self.shard:
            chosen = self.chosen or self.manifest.items
            self.manifest.record_shard(self.shard, chosen, self.benchmark.prompts)
        if self.moved:
            self.manifest.generation["folder"] = str(self.folder and self.folder.resolve())
        self._say_assumed()
        self.manifest.write(self.run.manifest)
        self.before_work(self)

    @property
    def runs(self) -> list[RunDir]:
        """The run, and before it the one that it is a part of."""
        return [self.home, self.run] if self.home else [self.run]

    def _verify(self) -> None:
        if self.manifest.kind == "answers" or not self.image_files:
            return
        if not self.verify:
            self.manifest.note(UNVERIFIED)
            return
        self.hashes = image_hashes(self.image_files)
        logs = [run.images_log for run in self.runs]
        differing = {item for path in logs for item in changed_images(path, self.hashes)}
        changed = [item for item in self.hashes if item in differing]
        if changed and self.manifest.kind == "images":  # what was never judged may be mended
            judged = self._judged_items()
            changed = [item_id for item_id in changed if item_id in judged]
        if changed:
            what = "answers about" if self.manifest.kind == "images" else "the hashes of"
            raise ResumeMismatchError(
                f"{self.run.path} has {what} other images of {shortened(changed)} than those in "
                f"{self.folder} ({counted(len(changed), 'image')} changed); put the old ones back, "
                "score the new ones into another --out, or give --no-verify"
            )
        self.manifest.notes = [note for note in self.manifest.notes if note != UNVERIFIED]

    def _judged_items(self) -> set[str]:
        files = [path for run in self.runs for path in (run.path / "answers").glob("*.jsonl")]
        return {answer.item_id for path in files for answer in read_answer_file(path)}

    def _say_assumed(self) -> None:
        """Note how images were cut where nobody said it."""
        if self.manifest.kind != "images" or self.layout or not self.grid or self.num_images == 1:
            return
        if self.pattern and self.pattern.has_tiles:
            return
        note = (
            f"each image was taken for {self.grid} (assumed; --layout ROWSxCOLUMNS says otherwise, "
            "1x1 for single pictures)"
        )
        self.manifest.note(note)
        self.announce(note)

    def images(self, *, partial: bool) -> tuple[dict[str, ImageFiles], dict[str, str]]:
        """Return the image of each item that has a sound one, and why the others have none.

        Args:
            partial: missing images are expected.

        Raises:
            DataError: no item has an image, or none has a size that fits.
        """
        if self.folder is None or not self.folder.is_dir():
            return {}, self._without_images()
        images, missing = self._find(self.items)
        if not images and self.items and self.manifest.kind == "images":
            if self._has_answers:
                return {}, self._without_images() | missing
            raise DataError(self._nothing_found(missing))
        self.image_files = dict(images)
        size = self._expected_size(images)
        reasons = self._failures_beside(images) | missing
        for item_id, reason in _odd_sizes(images, size).items() if size else ():
            reasons[item_id] = reason
            del images[item_id]
        return images, reasons

    def _expected_size(self, images: Mapping[str, ImageFiles]) -> GridSpec | None:
        """Return the size that every image must have; None where any will do.

        Raises:
            DataError: no image has a size that fits the layout.
        """
        if self.pattern and self.pattern.has_tiles:
            return GridSpec(1, self.tile_px, self.tile_px) if self.tile_px else None
        if self.grid is None and images:
            paths = [path for image in self._sizing(images).values() for path in files_of(image)]
            self.grid = infer_grid(
                paths, self.num_images, self.tile_px, self.layout, refuse_wide=self._doubtful
            )
        return self.grid

    def _sizing(self, images: Mapping[str, ImageFiles]) -> Mapping[str, ImageFiles]:
        """Return the images that tell which size is the one: of a shard, those of all shards."""
        chosen = self.chosen or self.manifest.generation.get("shard", {}).get("chosen", ())
        return self._find(chosen)[0] if chosen else images

    @property
    def _doubtful(self) -> bool:
        """Whether the layout is assumed, and nothing was judged by it yet."""
        return self.fresh and self.layout is None

    @property
    def _has_answers(self) -> bool:
        return any(any((run.path / "answers").glob("*.jsonl")) for run in self.runs)

    def _find(self, items: Sequence[str]) -> tuple[dict[str, ImageFiles], dict[str, str]]:
        """Return images by item, and why some are missing that a pattern speaks of."""
        folder = self.folder or self.run.images
        if self.pattern is None:
            return dict(find_images(folder, items)), {}
        prompts = self.benchmark.prompts
        patterned = find_patterned(folder, self.pattern, items, prompts, self.num_images)
        return dict(patterned.images), dict(patterned.reasons)

    def _without_images(self) -> dict[str, str]:
        """Return why no item has an image, where answers may be enough.

        Raises:
            DataError: there is no answer either.
        """
        if self.manifest.kind == "generated":
            return self._failures_beside({})
        place = self.folder or self.run.path
        if not self._has_answers:
            raise DataError(
                f"{place} has no images; give a folder of them"
                + (" with --images" if self.manifest.kind == "images" else "")
            )
        why = f"its image is not in {place}; give the images' place with --images"
        return dict.fromkeys(self.items, why)

    def _nothing_found(self, missing: Mapping[str, str]) -> str:
        """Return what a folder holds in which no image of an item was found, and what may help."""
        folder, order = self.folder or self.run.path, list(self.benchmark.prompts)
        names = [path.name for path in sorted(folder.iterdir())]
        held = f"it holds {shortened(names, 3) or 'nothing'}"
        if self.pattern and self.pattern.of_prompts:
            first = self.items[0]
            why = missing.get(first, "nothing is named after its prompt")
            text = (
                f"{folder} has no item's images by --pattern {self.pattern.text} ({first}: {why})"
            )
        elif self.pattern:
            first, index = self.items[0], order.index(self.items[0])
            tiles = range(self.num_images if self.pattern.has_tiles else 1)
            paths = [self.pattern.path(first, index, tile) for tile in tiles]
            path = next((path for path in paths if not (folder / path).is_file()), paths[0])
            text = f"{folder} has no image by --pattern {self.pattern.text} (such as {path})"
        else:
            text = (
                f"{folder} has no image named after an item of {self.benchmark.name} "
                f"(such as {self.items[0]}.png; {KINDS} are read)"
            )
        fits = suggest_pattern(folder, self.benchmark.prompts)
        nested = fits.partition("/")[0] if fits else ""
        if fits and fits.startswith(f"{nested}/{{item_id}}.") and "{" not in nested:
            return f"{text}; {held}; did you mean {folder / nested}?"
        if fits and not (self.pattern and self.pattern.text == fits):
            return f"{text}; {held}; --pattern '{fits}' fits"
        return f"{text}; {held}"

    def _failures_beside(self, images: Mapping[str, ImageFiles]) -> dict[str, str]:
        """Return why each item that is not among `images` has none."""
        logged = {
            item: line for run in self.runs for item, line in read_image_log(run.images_log).items()
        }
        reasons = {}
        for item_id in self.items:
            if item_id not in images:
                error = logged[item_id].get("error") if item_id in logged else None
                reasons[item_id] = error or f"image {item_id}.png is missing"
        return reasons


def _fitting(images: Mapping[str, ImageFiles]) -> str:
    """Return the layouts that would fit the first of images that do not, as words to add."""
    size = read_size(files_of(next(iter(images.values())))[0])
    layouts = [str(layout) for layout in fitting_layouts(size)] if size else []
    return f" ({' or '.join(layouts)} would give tiles near square)" if layouts else ""


def _odd_sizes(images: Mapping[str, ImageFiles], expected: GridSpec) -> dict[str, str]:
    """Return, by item, why an image of another size fails; all of them are named in a warning.

    Raises:
        DataError: every image is of another size.
    """
    reasons: dict[str, str] = {}
    sizes: list[str] = []
    for item_id, image in images.items():
        for path in files_of(image):
            size = read_size(path)
            if size is None:  # an unreadable file fails alone, when it is opened
                continue
            try:
                check_grid_size(path, size, expected)
            except DataError as error:
                reasons[item_id] = str(error)
                sizes.append(f"{path.name} {size[0]}x{size[1]}")
                break
    if reasons:
        log.warning(
            "%d of %s %s another size: %s; expected %s",
            len(reasons),
            counted(len(images), "image"),
            "has" if len(reasons) == 1 else "have",
            ", ".join(sizes),
            f"{expected.size[0]}x{expected.size[1]} ({expected})",
        )
    if reasons and len(reasons) == len(images):
        raise DataError(next(iter(reasons.values())) + _fitting(images))
    return reasons


def log_images(target: Target) -> None:
    """Record the hash of each image of others that the log has none of; say what is no item's."""
    if target.folder is None or not target.folder.is_dir():
        return
    _warn_strays(target, target.folder)
    logged = read_image_log(target.run.images_log)
    new = [item_id for item_id in target.image_files if item_id not in logged]
    if target.verify:  # and what was mended before it was judged
        hashes = target.hashes
        new += [i for i, sha in hashes.items() if i in logged and logged[i].get("sha256") != sha]
    else:
        hashes = image_hashes({item_id: target.image_files[item_id] for item_id in new})
    with target.run.append_to(target.run.images_log) as lines:
        for item_id in new:
            if item_id in hashes:
                lines.append(_line_of(target, target.folder, item_id, hashes[item_id]))


def _line_of(target: Target, folder: Path, item_id: str, sha256: str) -> ImageLine:
    line = image_line(item_id, sha256=sha256)
    if target.pattern is not None:
        line["files"] = {
            path.relative_to(folder).as_posix(): sha256_file(path)
            for path in files_of(target.image_files[item_id])
        }
    return line


def _warn_strays(target: Target, folder: Path) -> None:
    order = list(target.benchmark.prompts)
    if target.pattern is None:
        used = len(find_images(folder, order))
    else:
        prompts = target.benchmark.prompts
        patterned = find_patterned(folder, target.pattern, order, prompts, target.num_images)
        used = sum(len(files_of(image)) for image in patterned.images.values())
    strays = count_strays(folder, target.pattern, used)
    if strays > 0:
        log.warning(
            "%s of %s %s named after no item of %s and %s left out",
            counted(strays, "image"),
            folder,
            "is" if strays == 1 else "are",
            target.benchmark.name,
            "is" if strays == 1 else "are",
        )
