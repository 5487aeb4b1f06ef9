"""`dpgbench prompts`: the benchmarks themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpgbench.cli import prompts_review
from dpgbench.cli.console import echo, print_json, print_table, say
from dpgbench.cli.option_groups import with_option_groups
from dpgbench.cli.options import AsJson, Bench, ItemOptions

if TYPE_CHECKING:
    from dpgbench.domain.count_check import CountCheck

app = typer.Typer(
    help="The benchmarks: list, show, check, pull, stats, counts, review.", no_args_is_help=True
)

BenchArgument = Annotated[
    str | None, typer.Argument(metavar="NAME|FILE", help="Benchmark: dpg, shapes, or a file.")
]


@app.command("list")
@with_option_groups
def list_items(
    *,
    bench: Bench = None,
    items: ItemOptions,
    as_json: AsJson = False,
) -> None:
    """List a benchmark's items, or (without --bench) the benchmarks."""
    if bench is None:
        _list_benchmarks(as_json)
        return
    from dpgbench.domain.rows import item_source
    from dpgbench.errors import one_line
    from dpgbench.store.benchmarks import load_benchmark

    benchmark = load_benchmark(bench)
    chosen = items.choice().of(benchmark)
    if as_json:
        print_json(
            {
                "benchmark": benchmark.name,
                "items": [
                    {
                        "item_id": item_id,
                        "source": item_source(item_id),
                        "questions": len(benchmark.items.get(item_id, ())),
                        "text": benchmark.prompts[item_id],
                    }
                    for item_id in chosen
                ],
            }
        )
        return
    for item_id in chosen:
        echo(f"{item_id}\t{one_line(' '.join(benchmark.prompts[item_id].split()))}")


def _list_benchmarks(as_json: bool) -> None:
    from dpgbench.errors import SetupError
    from dpgbench.store.benchmarks import DPG, load_benchmark, packaged_names
    from dpgbench.store.compbench import COMPBENCH

    rows: list[list[Any]] = []
    for name in (DPG, *packaged_names(), COMPBENCH):
        try:
            benchmark = load_benchmark(name)
            counts = [len(benchmark.prompts), benchmark.num_questions]
            rows.append([name, *counts, str(benchmark.path)])
        except SetupError:
            rows.append([name, 0, 0, None])
    if as_json:
        keys = ("name", "items", "questions", "path")
        print_json({"benchmarks": [dict(zip(keys, row, strict=True)) for row in rows]})
    else:
        rows = [[*row[:3], row[3] or "not here yet: dpgbench prompts pull"] for row in rows]
        print_table(["name", "items", "questions", "path"], rows)


@app.command()
def show(
    item_id: Annotated[str, typer.Argument(metavar="ID", help="An item's id.")],
    bench: Bench = None,
    as_json: AsJson = False,
) -> None:
    """Print an item's prompt and its question graph as a tree."""
    from dpgbench.domain.benchmark_findings import SEVERITY
    from dpgbench.domain.graph import draw_tree
    from dpgbench.errors import one_line, unknown_name
    from dpgbench.store.benchmarks import DPG, load_benchmark

    benchmark = load_benchmark(bench or DPG)
    if item_id not in benchmark.prompts:
        raise unknown_name("item", item_id, benchmark.prompts, listing="dpgbench prompts list")
    if not benchmark.has_graphs:
        echo(one_line(benchmark.prompts[item_id]))
        if benchmark.is_list:
            return
        benchmark.require_graphs()
    graph = benchmark.graph(item_id)
    if as_json:
        questions = [
            {
                "qid": q.qid,
                "question": q.text,
                "parents": list(q.parents),
                "l1": q.category.l1,
                "l2": q.category.l2,
                "tuple": q.row.tuple,
                "answer": q.row.expected,
                "asked": q.row.asked,
            }
            for q in graph.questions
        ]
        print_json({"item_id": item_id, "text": graph.text, "questions": questions})
        return
    echo(f"{item_id}\n{one_line(graph.text)}\n")
    for line in draw_tree(graph):
        echo(one_line(line))
    by_kind: dict[str, list[str]] = {}
    for problem in graph.problems:
        by_kind.setdefault(problem.kind, []).append(str(problem))
    for kind, lines in by_kind.items():
        more = f"; {len(lines) - 1} more such ('dpgbench prompts check' lists all)"
        say(f"{SEVERITY[kind]}: {lines[0]}{more if len(lines) > 1 else ''}")


@app.command()
def check(
    name: BenchArgument = None,
    bench: Bench = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 3 for warnings and notes too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List every problem of a benchmark as error, warning or note; exit with 3 for errors.

    An error is what scoring or drawing refuses; a warning can move a number or lose an item under
    some rule; a note is worth knowing.
    """
    from dpgbench.domain.benchmark_findings import count_kinds, count_severities
    from dpgbench.errors import DataError, counted, one_line
    from dpgbench.store.benchmarks import DPG, load_benchmark

    benchmark = load_benchmark(name or bench or DPG)
    if not benchmark.is_list:
        benchmark.require_graphs()
    findings = benchmark.findings()
    severities = count_severities(findings)
    if as_json:
        print_json(
            {
                "problems": [entry._asdict() for entry in findings],
                "counts": count_kinds(findings),
                "severities": severities,
            }
        )
    else:
        for entry in findings:
            echo(one_line(str(entry)))
    size = f"{counted(len(benchmark.prompts), 'item')}, "
    size += counted(benchmark.num_questions, "question")
    if not findings:
        say(f"{size}: no problem")
        return
    summary = ", ".join(counted(number, kind) for kind, number in severities.items() if number)
    kinds = ", ".join(f"{number} {kind}" for kind, number in count_kinds(findings).items())
    if severities["error"] or strict:
        raise DataError(f"{benchmark.path} has {summary}: {kinds}")
    say(f"{size}: {summary} ({kinds}); nothing that scoring refuses")


@app.command()
def pull(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Benchmark: dpg or t2i-compbench.")
    ] = "dpg",
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FOLDER|ARCHIVE|CSV|URL",
            help="A copy of your own instead of upstream's commit.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Store a benchmark in the cache, each file verified against its git blob id."""
    from tqdm import tqdm

    from dpgbench.domain.benchmark import QUESTIONS_FILE
    from dpgbench.errors import counted, unknown_name
    from dpgbench.store.benchmarks import DPG, PROMPTS_FOLDER
    from dpgbench.store.compbench import COMPBENCH
    from dpgbench.store.paths import cache_folder
    from dpgbench.store.pull import dpg_upstream
    from dpgbench.store.pull import pull as run

    if name == COMPBENCH:
        _pull_compbench(source, as_json=as_json)
        return
    if name != DPG:
        listing = "dpgbench prompts list"
        raise unknown_name("benchmark to pull", name, [DPG, COMPBENCH], listing=listing)
    upstream = dpg_upstream()
    if source is None:
        say(f"fetching {upstream.url}")
    with tqdm(unit="B", unit_scale=True, desc="pull", delay=0.5) as bar:

        def progress(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        pulled = run(source, cache_folder() / "benchmarks" / DPG, upstream, progress=progress)
    for trouble in pulled.trouble:
        say(f"warning: {trouble}")
    if as_json:
        print_json(
            {
                "folder": str(pulled.folder),
                "prompts": pulled.num_prompts,
                "has_questions": pulled.has_questions,
                "questions_from": pulled.questions_from,
                "line_ends_restored": pulled.line_ends_restored,
                "trouble": list(pulled.trouble),
            }
        )
    else:
        prompts = counted(pulled.num_prompts, "prompt")
        echo(f"{prompts} verified and stored in {pulled.folder}")
        if pulled.questions_from:
            echo(f"questions verified; they came from {pulled.questions_from}")
    if pulled.line_ends_restored:
        say(
            f"note: {counted(pulled.line_ends_restored, 'file')} had Windows line ends; with "
            "upstream's they are upstream's content, and are stored so"
        )
    if not pulled.has_questions:
        say(
            f"note: no questions ({QUESTIONS_FILE}) came with them: 'generate' works, 'score' "
            f"needs 'dpgbench prompts pull' or 'dpgbench prompts pull --from {QUESTIONS_FILE}'"
        )
    elif not (pulled.folder / PROMPTS_FOLDER).is_dir():
        say("note: the prompt files could not be had; prompts are the texts of the question file")


@app.command()
def stats(name: BenchArgument = None, bench: Bench = None, as_json: AsJson = False) -> None:
    """Count items and questions by source, category and length."""
    from dpgbench.errors import counted
    from dpgbench.store.benchmarks import DPG, load_benchmark

    benchmark = load_benchmark(name or bench or DPG)
    counts = benchmark.counts()
    if as_json:
        print_json({"benchmark": benchmark.name, **counts.to_json()})
        return
    echo(f"{counted(counts.items, 'item')}, {counted(counts.questions, 'question')}")
    words = counts.words
    echo(f"words a prompt: {words.mean:.1f} ({words.min} to {words.max})")
    tables = {
        "source": counts.sources, "L1": counts.l1, "L2": counts.l2, "words": counts.lengths,
    }  # fmt: skip
    for title, numbers in tables.items():
        if numbers:
            echo("")
            print_table([title, "count"], list(numbers.items()))


@app.command()
def counts(
    name: BenchArgument = None,
    bench: Bench = None,
    check: Annotated[
        str | None,
        typer.Option(
            "--check",
            metavar="CATEGORY=VALUE,...",
            help="A published table: can each value be k/n of the category's answers?",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count questions by category as the reference sees them; check a published table by them.

    A value that is k/n neither for one image nor for four did not come from one process over the
    whole benchmark: exit with 3.
    """
    from dpgbench.domain.count_check import check_counts, parse_printed, with_l1
    from dpgbench.errors import DataError, counted

    by_category, origin = _reference_counts(name or bench)
    by_category = with_l1(by_category)
    checks = check_counts(parse_printed(check, by_category), by_category) if check else []
    if as_json:
        print_json(
            {
                "source": origin,
                "counts": by_category,
                **({"checks": [_check_json(checked) for checked in checks]} if check else {}),
            }
        )
    elif check:
        print_table(
            ["category", "value", "1 image", "4 images", "verdict"],
            [_check_row(checked) for checked in checks],
        )
    else:
        print_table(["category", "questions"], list(by_category.items()))
    say(f"counts: {origin}")
    impossible = [checked.score.name for checked in checks if not checked.possible]
    if impossible:
        raise DataError(
            f"{counted(len(impossible), 'value')} cannot be k/n of this benchmark's counts: "
            f"{', '.join(impossible)}; one process over all items did not make them "
            "(docs/reproducing.md)"
        )


def _reference_counts(name: str | None) -> tuple[dict[str, int], str]:
    """Return questions by L2 category, and where they come from."""
    from dpgbench.domain.count_check import PUBLISHED_L2, reference_counts
    from dpgbench.errors import SetupError
    from dpgbench.store.benchmarks import DPG, load_benchmark

    try:
        benchmark = load_benchmark(name or DPG)
        benchmark.require_graphs()
    except SetupError:
        if name not in (None, DPG):
            raise
        return dict(PUBLISHED_L2), (
            "read off a published one-process log of DPG-Bench, not checked against the question "
            "file, which is not on this machine ('dpgbench prompts pull')"
        )
    origin = f"{benchmark.path}, without its first row, as the reference"
    return reference_counts(benchmark.rows), origin


def _pull_compbench(source: str | None, *, as_json: bool) -> None:
    from dpgbench.errors import counted
    from dpgbench.store import compbench
    from dpgbench.store.paths import cache_folder
    from dpgbench.store.pull_files import FileSet, pull_files

    name = compbench.COMPBENCH
    if source is None:
        say(f"fetching {compbench.FOLDER_URL}")
    say(f"note: {name} is other people's: {compbench.LICENCE}")
    files = FileSet(name, compbench.LICENCE, compbench.FOLDER_URL, compbench.BLOBS)
    pulled = pull_files(source, cache_folder() / "benchmarks" / name, files)
    prompts = len(compbench.load_compbench(pulled.folder).prompts)
    if as_json:
        print_json(
            {
                "folder": str(pulled.folder),
                "prompts": prompts,
                "licence": compbench.LICENCE,
                "line_ends_restored": pulled.line_ends_restored,
            }
        )
    else:
        echo(f"{counted(prompts, 'prompt')} verified and stored in {pulled.folder}")


def _check_row(checked: CountCheck) -> list[str]:
    cells = [
        "no"
        if one.yes is None
        else f"{one.yes}/{one.answers}"
        + (f" ({one.chance:.0%} of values fit)" if one.chance >= 0.005 else "")
        for one in checked.possibilities
    ]
    return [checked.score.category, checked.score.text, *cells, _verdict(checked)]


def _verdict(checked: CountCheck) -> str:
    if not checked.possible:
        return "cannot be one process over all items"
    possible = [one for one in checked.possibilities if one.yes is not None]
    return "fits, but nearly any value would" if possible[0].chance > 0.9 else "fits"


def _check_json(checked: CountCheck) -> dict[str, Any]:
    return {
        "category": checked.score.category,
        "value": checked.score.text,
        "questions": checked.questions,
        "possible": checked.possible,
        "images": {
            str(one.images): {"answers": one.answers, "yes": one.yes, "chance": one.chance}
            for one in checked.possibilities
        },
    }


prompts_review.register(app)
