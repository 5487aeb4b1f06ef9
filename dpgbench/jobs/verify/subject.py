"""The run that is looked at: what it says of itself, as far as that can be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dpgbench.domain.answer_text import is_missing
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.spec import GridSpec, Layout, find_layout
from dpgbench.errors import DpgBenchError
from dpgbench.store.image_files import ImagePattern
from dpgbench.store.run.answers import read_answer_table
from dpgbench.store.run.directory import RunDir, is_run
from dpgbench.store.run.manifest import Manifest
from dpgbench.store.run.questions import asked_benchmark


@dataclass(frozen=True)
class Subject:
    """A run whose manifest could be read.

    Attributes:
        run: its folder.
        manifest: what it says of itself.
        benchmark: with the prompts and questions of then; None where it is gone or changed.
        folder: where its images are; None for recorded answers.
        home: the run that this one is a shard of; None is a run of its own.
    """

    run: RunDir
    manifest: Manifest
    benchmark: Benchmark | None
    folder: Path | None
    home: RunDir | None = None

    def of_judge(self, judge: str) -> Subject:
        """Return the same with the questions that a judge was asked: its own, if it made some.

        Where these cannot be read the benchmark is not at hand.
        """
        if self.benchmark is None:
            return self
        try:
            return replace(self, benchmark=asked_benchmark(self.run, judge, self.benchmark))
        except DpgBenchError:
            return replace(self, benchmark=None)

    @property
    def generated(self) -> bool:
        """Whether the toolkit drew the images, and so can draw them again."""
        return self.manifest.kind == "generated"

    @property
    def grid(self) -> GridSpec | None:
        """The size that every image must have; None where nothing says it."""
        identity, tiles = self.manifest.identity, self.manifest.num_images
        if self.generated:
            drawn = identity["generation"]
            return GridSpec(tiles, drawn["width_px"], drawn["height_px"])
        px = identity.get("tile_px")
        if px is None:
            return None
        if self.pattern and self.pattern.has_tiles:
            return GridSpec(1, px, px)
        return GridSpec(tiles, px, px, self.layout) if self.layout else GridSpec(tiles, px, px)

    @property
    def layout(self) -> Layout | None:
        """How tiles lie in an image, where it was said."""
        text = self.manifest.identity.get("layout") or self.manifest.generation.get("layout")
        return find_layout(text) if text else None

    @property
    def pattern(self) -> ImagePattern | None:
        """Where the files of an item are, where they are not named after it."""
        text = self.manifest.identity.get("pattern")
        return ImagePattern(text) if text else None

    @property
    def prompts(self) -> Mapping[str, str]:
        """Of every item of the benchmark; of the run's, empty, where that is not at hand."""
        return self.benchmark.prompts if self.benchmark else dict.fromkeys(self.manifest.items, "")

    def drawn_at_home(self, items: Iterable[str]) -> set[str]:
        """Return the items whose grids the run of this shard has: they are not drawn again."""
        if self.home is None or not self.generated or not is_run(self.home.path):
            return set()
        return {item_id for item_id in items if self.home.image(item_id).is_file()}

    @property
    def is_judged_at_home(self) -> bool:
        """Whether a judge was asked about the run of this shard, after it was merged."""
        return self.home is not None and any((self.home.path / "answers").glob("*.jsonl"))

    def answered_at_home(self, judge: str) -> set[tuple[str, int, int]]:
        """Return the questions (item id, tile, number) that the run of this shard has answers to.

        They are not asked again in a shard. What is damaged there is said of that run.
        """
        if self.home is None or not is_run(self.home.path):
            return set()
        try:
            table = read_answer_table(self.home.answers(judge))
        except DpgBenchError:
            return set()
        return {
            (item_id, tile, qid)
            for (item_id, tile), texts in table.items()
            for qid, text in texts.items()
            if not is_missing(text)
        }

    def shown(self, path: Path) -> str:
        """Return a path as findings name it: below the run where it is."""
        return (
            path.relative_to(self.run.path).as_posix()
            if path.is_relative_to(self.run.path)
            else str(path)
        )
