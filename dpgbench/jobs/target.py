"""What is scored: a run of this toolkit, a folder of other people's images, or recorded answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.spec import GridSpec, Layout
from dpgbench.errors import DataError, ResumeMismatchError, counted, shortened
from dpgbench.store.images import (
    ImageFiles,
    check_size,
    files_of,
    find_images,
    fitting_layouts,
    infer_grid,
    read_size,
)
from dpgbench.store.patterns import ImagePattern, find_patterned, suggest_pattern
from dpgbench.store.pictures import KINDS
from dpgbench.store.run.directory import RunDir, read_answer_lines
from dpgbench.store.run.manifest import (
    Manifest,
    open_manifest,
)
from dpgbench.store.run.verify import image_hashes, mismatched

log = logging.getLogger(__name__)

UNVERIFIED = "images were not compared with the hashes in images.jsonl (--no-verify)"


@dataclass
class Subject:
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
        hashes: of the images that were found; by item.
        before_work: called with the subject, inside the run's lock.
        announce: told of each note on what was assumed, before the judge is asked.
    """

    run: RunDir
    manifest: Manifest
    benchmark: Benchmark
    items: Sequence[str]
    num_tiles: int
    folder: Path | None = None
    grid: GridSpec | None = None
    tile_px: int | None = None
    layout: Layout | None = None
    pattern: ImagePattern | None = None
    verify: bool = True
    fresh: bool = False
    moved: bool = False
    hashes: Mapping[str, str] = field(default_factory=dict)
    found: Mapping[str, ImageFiles] = field(default_factory=dict)
    before_work: Callable[[Subject], None] = field(default=lambda subject: None)
    announce: Callable[[str], None] = field(default=lambda note: None)

    def prepare(self) -> None:
        """Write the manifest before any work, or check it against the one that is there.

        Raises:
            ResumeMismatchError: the run holds other work, or an image changed since it was drawn
                or judged.
        """
        self.manifest = open_manifest(self.run, self.manifest)
        self._verify()
        self.manifest.add_items(self.items, self.benchmark.prompts)
        if self.moved:
            self.manifest.generation["folder"] = str(self.folder and self.folder.resolve())
        self._say_assumed()
        self.manifest.write(self.run)
        self.before_work(self)

    def _verify(self) -> None:
        if self.manifest.kind == "answers" or not self.found:
            return
        if not self.verify:
            self.manifest.note(UNVERIFIED)
            return
        self.hashes = image_hashes(self.found)
        changed = mismatched(self.run, self.hashes)
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
        files = sorted((self.run.path / "answers").glob("*.jsonl"))
        return {answer.item_id for path in files for answer in read_answer_lines(path)}

    def _say_assumed(self) -> None:
        """Note how images were cut where nobody said it."""
        if self.manifest.kind != "images" or self.layout or not self.grid or self.num_tiles == 1:
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
        found, missing = self._find()
        if not found and self.manifest.kind == "images":
            if self._has_answers:
                return {}, self._without_images() | missing
            raise DataError(self._nothing_found())
        self.found = dict(found)
        tiles_apart = bool(self.pattern and self.pattern.has_tiles)
        if tiles_apart:
            size = GridSpec(1, self.tile_px, self.tile_px) if self.tile_px else None
        else:
            if self.grid is None and found:
                paths = [path for image in found.values() for path in files_of(image)]
                self.grid = infer_grid(
                    paths, self.num_tiles, self.tile_px, self.layout, refuse_wide=self._doubtful
                )
            size = self.grid
        reasons = self._unlogged_failures(found) | missing
        odd = _odd_sizes(found, size) if size else {}
        if odd:
            self._say_odd(odd, len(found), size)
        if odd and len(odd) == len(found):
            raise DataError(next(reason for reason, _ in odd.values()) + _fitting(found))
        for item_id, (reason, _) in odd.items():
            reasons[item_id] = reason
            del found[item_id]
        return found, reasons

    @property
    def _doubtful(self) -> bool:
        """Whether the layout is assumed, and nothing was judged by it yet."""
        return self.fresh and self.layout is None

    @property
    def _has_answers(self) -> bool:
        return any((self.run.path / "answers").glob("*.jsonl"))

    def _find(self) -> tuple[dict[str, ImageFiles], dict[str, str]]:
        """Return images by item, and why some are missing that a pattern speaks of."""
        folder = self.folder or self.run.images
        if self.pattern is None:
            return dict(find_images(folder, self.items)), {}
        order = list(self.benchmark.prompts)
        found = find_patterned(folder, self.pattern, self.items, order, self.num_tiles)
        return dict(found.images), dict(found.reasons)

    def _without_images(self) -> dict[str, str]:
        """Return why no item has an image, where answers may be enough.

        Raises:
            DataError: there is no answer either.
        """
        if self.manifest.kind == "generated":
            return self._unlogged_failures({})
        place = self.folder or self.run.path
        if not self._has_answers:
            raise DataError(
                f"{place} has no images; give a folder of them"
                + (" with --images" if self.manifest.kind == "images" else "")
            )
        why = f"its image is not in {place}; give the images' place with --images"
        return dict.fromkeys(self.items, why)

    def _nothing_found(self) -> str:
        """Return what a folder holds in which no image of an item was found, and what may help."""
        folder, order = self.folder or self.run.path, list(self.benchmark.prompts)
        names = [path.name for path in sorted(folder.iterdir())]
        held = f"it holds {shortened(names, 3) or 'nothing'}"
        if self.pattern:
            first, index = self.items[0], order.index(self.items[0])
            tiles = range(self.num_tiles if self.pattern.has_tiles else 1)
            paths = [self.pattern.path(first, index, tile) for tile in tiles]
            path = next((path for path in paths if not (folder / path).is_file()), paths[0])
            text = f"{folder} has no image by --pattern {self.pattern.text} (such as {path})"
        else:
            text = (
                f"{folder} has no image named after an item of {self.benchmark.name} "
                f"(such as {self.items[0]}.png; {KINDS} are read)"
            )
        fits = suggest_pattern(folder, order)
        nested = fits.partition("/")[0] if fits else ""
        if fits and fits.startswith(f"{nested}/{{item_id}}.") and "{" not in nested:
            return f"{text}; {held}; did you mean {folder / nested}?"
        if fits and not (self.pattern and self.pattern.text == fits):
            return f"{text}; {held}; --pattern '{fits}' fits"
        return f"{text}; {held}"

    def _say_odd(
        self, odd: Mapping[str, tuple[str, str]], num_found: int, size: GridSpec | None
    ) -> None:
        verb = "has" if len(odd) == 1 else "have"
        log.warning(
            "%d of %s %s another size: %s; expected %s",
            len(odd),
            counted(num_found, "image"),
            verb,
            ", ".join(shown for _, shown in odd.values()),
            f"{size.size[0]}x{size.size[1]} ({size})" if size else "",
        )

    def _unlogged_failures(self, found: Mapping[str, ImageFiles]) -> dict[str, str]:
        records = self.run.image_records()
        reasons = {}
        for item_id in self.items:
            if item_id not in found:
                error = records.get(item_id, {}).get("error")
                reasons[item_id] = error or f"image {item_id}.png is missing"
        return reasons


def _fitting(found: Mapping[str, ImageFiles]) -> str:
    """Return the layouts that would fit the first of images that do not, as words to add."""
    size = read_size(files_of(next(iter(found.values())))[0])
    layouts = [str(layout) for layout in fitting_layouts(size)] if size else []
    return f" ({' or '.join(layouts)} would give tiles near square)" if layouts else ""


def _odd_sizes(found: Mapping[str, ImageFiles], expected: GridSpec) -> dict[str, tuple[str, str]]:
    """Return, by item, why an image of another size fails, and its name with its size."""
    odd: dict[str, tuple[str, str]] = {}
    for item_id, image in found.items():
        for path in files_of(image):
            size = read_size(path)
            if size is None:  # an unreadable file fails alone, when it is opened
                continue
            try:
                check_size(path, size, expected)
            except DataError as error:
                odd.setdefault(item_id, (str(error), f"{path.name} {size[0]}x{size[1]}"))
    return odd
