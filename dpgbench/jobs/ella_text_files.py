"""The ELLA script's own two text files, so that people's parsers go on working.

Format (upstream commit 3c228f1): the results file has a line per image (path, tile scores, mean),
then a summary; the detail file has a line per question (path, crop box, question, answer). Where
upstream appends a time to the name, these have fixed names.
"""

from __future__ import annotations

from pathlib import Path

from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.result import Result
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.rules import ELLA_REFERENCE
from dpgbench.domain.score import Answers, score_benchmark
from dpgbench.domain.spec import GridSpec
from dpgbench.jobs.target import Target
from dpgbench.store.files import write_atomic

_REFERENCE_TILE_PX = 512  # only names the crop boxes where answers come without images
RESULTS = "dpg-bench_results.txt"
DETAIL = "dpg-bench_results_detail.txt"


def write_reference_files(
    target: Target, judge: str, answers: Answers, part: str
) -> tuple[Path, Path]:
    """Write both files beside the judge's results and return their paths; `part` ends their names.

    Raises:
        DataError: the reference rule refuses the benchmark.
    """
    result = score_benchmark(
        target.benchmark,
        answers,
        ELLA_REFERENCE,
        num_images=target.num_images,
        items=target.items,
    )
    folder = target.run.scores(judge, ELLA_REFERENCE.name).parent
    images = target.folder or target.run.images
    px = _REFERENCE_TILE_PX
    grid = target.grid or GridSpec(target.num_images, px, px)
    results, detail = (
        (folder / name).with_stem(Path(name).stem + part) for name in (RESULTS, DETAIL)
    )
    summary = results_text(result, images, target.manifest.model, results)
    write_atomic(results, summary, scratch=target.run.path)
    details = detail_text(target.benchmark, result, answers, images, grid)
    write_atomic(detail, details, scratch=target.run.path)
    return results, detail


def results_text(result: Result, images: Path, model: str, path: Path) -> str:
    """Return the summary: a line per image, then the averages.

    Args:
        result: under the reference rule.
        images: folder that lines name.
        model: name that the summary has.
        path: that it says it is saved to.
    """
    lines = [
        ", ".join(
            [str(images / f"{item.item_id}.png"), *map(str, item.tile_scores), str(item.score)]
        )
        for item in result.items
        if item.score is not None
    ]
    lines += [f"Model: {model}", "L1 category scores:"]
    lines += [f"\t{name}: {category.score}" for name, category in result.l1.items()]
    lines += ["L2 category scores:"]
    lines += [f"\t{name}: {category.score}" for name, category in result.l2.items()]
    overall = "nan" if result.overall is None else result.overall
    lines += [f"Image path: {images}", f"Save results to: {path}", f"DPG-Bench score: {overall}"]
    return "\n".join(lines) + "\n"


def detail_text(
    benchmark: Benchmark, result: Result, answers: Answers, images: Path, grid: GridSpec
) -> str:
    """Return a line per question: path, crop box, question, answer."""
    lines = []
    for item in result.items:
        texts = _questions(benchmark.items[item.item_id])
        for tile, box in enumerate(grid.boxes()):
            texts_of_tile = answers.get((item.item_id, tile), {})
            lines += [
                f"{images / (item.item_id + '.png')}, {box}, {texts[q.qid]}, {texts_of_tile[q.qid]}"
                for q in item.plan
                if q.qid in texts_of_tile
            ]
    return "".join(f"{line}\n" for line in lines)


def _questions(rows: tuple[QuestionRow, ...]) -> dict[int, str]:
    return {row.qid: row.question for row in rows}
