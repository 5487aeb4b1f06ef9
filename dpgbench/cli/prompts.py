"""`dpgbench prompts`: the benchmarks themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from dpgbench.cli import prompts_make, prompts_review, prompts_rewrite
from dpgbench.cli.console import echo, print_json, print_table, say
from dpgbench.cli.option_groups import with_option_groups
from dpgbench.cli.options import AsJson, Bench, ItemOptions

if TYPE_CHECKING:
    from dpgbench.domain.count_check import CountCheck
    from dpgbench.store.benchmark_table import NamedBenchmark
    from dpgbench.store.download import Progress

_MOST_FILES = 12  # of a benchmark, that the list for people names

app = typer.Typer(
    help="The benchmarks: list, show, check, pull, stats, counts, make, rewrite, review.",
    no_args_is_help=True,
)
prompts_make.register(app)
prompts_rewrite.register(app)
prompts_review.register(app)

BenchArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME|FILE", help="Benchmark: a name of 'dpgbench prompts list', or a file."
    ),
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
    from dpgbench.errors import DataError, SetupError
    from dpgbench.store.benchmark_table import named_benchmarks
    from dpgbench.store.benchmarks import load_benchmark

    here: dict[str, dict[str, Any] | None] = {}
    for name in named_benchmarks():
        try:
            benchmark = load_benchmark(name)
        except SetupError:
            here[name] = None
        except DataError as error:  # one that is damaged hides no other
            here[name] = None
            say(f"warning: {error}; 'dpgbench prompts pull {name}' mends it")
        else:
            here[name] = {
                "path": str(benchmark.path),
                "items": len(benchmark.prompts),
                "questions": benchmark.num_questions,
            }
    if as_json:
        table = [
            {**entry.to_json(), "path": (here[name] or {}).get("path"), "here": here[name]}
            for name, entry in named_benchmarks().items()
        ]
        print_json({"benchmarks": table})
        return
    columns = ["name", "items", "questions", "images", "licence", "here"]
    rows = [
        [e.name, e.items, e.questions, e.images, e.licence, "yes" if here[e.name] else "no"]
        for e in named_benchmarks().values()
    ]
    print_table(columns, rows)
    for entry in named_benchmarks().values():
        echo("")
        for line in _described(entry, here[entry.name]):
            echo(line)


def _described(entry: NamedBenchmark, here: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield what the table says of a benchmark, a fact a line."""
    from dpgbench.errors import counted

    yield f"{entry.name}: {entry.title}"
    facts = {
        "licence": entry.terms,
        "source": entry.source,
        "items": f"{counted(entry.items, 'item')}, {counted(entry.questions, 'question')}",
        "images": f"{entry.images} an item" + (f", {entry.images_note}" * bool(entry.images_note)),
        "judge": entry.judge,
        "rule": entry.rule,
        "note": entry.note,
        "cite": ", ".join(entry.cites),
    }
    for name, text in facts.items():
        if text:
            yield f"  {name:8}{text}"
    files = list(entry.files.items())
    for path, blob in files[:_MOST_FILES]:
        yield f"  {'blob':8}{blob} {path}"
    if len(files) > _MOST_FILES:
        yield f"  {'':8}and {len(files) - _MOST_FILES} more (--json lists all)"
    if here is None:
        yield f"  {'here':8}not here yet: dpgbench prompts pull {entry.name}"
        return
    less = here["questions"] < entry.questions
    has = f" ({counted(here['items'], 'item')}, {counted(here['questions'], 'question')})"
    yield f"  {'here':8}{here['path']}{has if less else ''}"


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
    from dpgbench.store.benchmark_table import DPG
    from dpgbench.store.benchmarks import load_benchmark

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
    from dpgbench.domain.draft_flags import REVIEW_COLUMN
    from dpgbench.errors import DataError, counted, one_line
    from dpgbench.store.benchmark_table import DPG
    from dpgbench.store.benchmarks import flagged_rows, load_benchmark

    benchmark = load_benchmark(name or bench or DPG)
    if not benchmark.is_list:
        benchmark.require_graphs()
        flagged = flagged_rows(benchmark.path)
        if flagged is not None:
            are = "is" if flagged == 1 else "are"
            say(
                f"note: column {REVIEW_COLUMN}: {counted(flagged, 'question')} {are} flagged; "
                "scoring does not look at it"
            )
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
        str, typer.Argument(metavar="NAME", help="Benchmark, as 'dpgbench prompts list' names it.")
    ] = "dpg",
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FOLDER|ARCHIVE|FILE|URL",
            help="A copy of your own instead of upstream's commit.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Store a benchmark in the cache, each file verified against its git blob id."""
    from tqdm import tqdm

    from dpgbench.errors import counted
    from dpgbench.store.benchmark_table import DPG, find_named

    entry = find_named(name)
    if entry.ships:
        _check_shipped(entry, source, as_json=as_json)
        return
    say(f"note: {name} is other people's: {entry.terms}")
    with tqdm(unit="B", unit_scale=True, desc="pull", delay=0.5) as bar:

        def progress(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        pulled = (_pull_dpg if name == DPG else _pull_files)(entry, source, progress)
    for trouble in pulled.trouble:
        say(f"warning: {trouble}")
    if as_json:
        print_json(pulled.facts | {"licence": entry.terms})
    else:
        for line in pulled.lines:
            echo(line)
    if restored := pulled.facts["line_ends_restored"]:
        say(
            f"note: {counted(restored, 'file')} had Windows line ends; with "
            "upstream's they are upstream's content, and are stored so"
        )
    for note in pulled.notes:
        say(f"note: {note}")


class _Told(NamedTuple):
    """What a pull has to tell: for `--json`, for people, what went wrong, what to know."""

    facts: dict[str, Any]
    lines: Sequence[str]
    trouble: Sequence[str]
    notes: Sequence[str] = ()


def _pull_dpg(entry: NamedBenchmark, source: str | None, progress: Progress) -> _Told:
    """Pull DPG-Bench, whose question file can come later than its prompts."""
    from dpgbench.domain.benchmark import QUESTIONS_FILE
    from dpgbench.errors import counted
    from dpgbench.store.benchmark_table import pulled_folder
    from dpgbench.store.benchmarks import PROMPTS_FOLDER
    from dpgbench.store.pull import dpg_upstream
    from dpgbench.store.pull import pull as run

    upstream = dpg_upstream()
    if source is None:
        say(f"fetching {upstream.url}")
    pulled = run(source, pulled_folder(entry.name), upstream, progress=progress)
    lines = [f"{counted(pulled.num_prompts, 'prompt')} verified and stored in {pulled.folder}"]
    if pulled.questions_from:
        lines.append(f"questions verified; they came from {pulled.questions_from}")
    notes = []
    if not pulled.has_questions:
        notes.append(
            f"no questions ({QUESTIONS_FILE}) came with them: 'generate' works, 'score' needs "
            f"'dpgbench prompts pull' or 'dpgbench prompts pull --from {QUESTIONS_FILE}'"
        )
    elif not (pulled.folder / PROMPTS_FOLDER).is_dir():
        notes.append(
            "the prompt files could not be had; prompts are the texts of the question file"
        )
    facts = {
        "folder": str(pulled.folder),
        "prompts": pulled.num_prompts,
        "has_questions": pulled.has_questions,
        "questions_from": pulled.questions_from,
        "line_ends_restored": pulled.line_ends_restored,
        "trouble": list(pulled.trouble),
    }
    return _Told(facts, lines, pulled.trouble, notes)


def _pull_files(entry: NamedBenchmark, source: str | None, progress: Progress) -> _Told:
    """Pull a benchmark that is a handful of files, and read it once."""
    from dpgbench.errors import counted
    from dpgbench.store.benchmark_table import pulled_folder
    from dpgbench.store.benchmarks import load_benchmark
    from dpgbench.store.pull_files import pull_files

    if source is None:
        say(f"fetching {entry.source}")
    pulled = pull_files(source, pulled_folder(entry.name), entry, progress=progress)
    benchmark = load_benchmark(entry.name)
    num_items, num_questions = len(benchmark.prompts), benchmark.num_questions
    what = counted(num_items, "prompt")
    what += f", {counted(num_questions, 'question')}" if num_questions else ""
    facts = {
        "folder": str(pulled.folder),
        "prompts": num_items,
        "questions": num_questions,
        "files": dict(pulled.sources),
        "line_ends_restored": pulled.line_ends_restored,
        "trouble": list(pulled.trouble),
    }
    lines = [
        f"{what} verified ({counted(pulled.files, 'file')}) and stored in {pulled.folder}",
    ]
    return _Told(facts, lines, pulled.trouble)


def _check_shipped(entry: NamedBenchmark, source: str | None, *, as_json: bool) -> None:
    """Make sure of a benchmark that ships with the toolkit; there is nothing to fetch.

    Raises:
        DataError: its file is another one than the toolkit's.
    """
    from pathlib import Path

    from dpgbench.errors import DataError, counted
    from dpgbench.store.benchmarks import load_benchmark
    from dpgbench.store.hashes import git_blob_id
    from dpgbench.store.paths import user_path

    ((name, blob),) = entry.files.items()
    benchmark = load_benchmark(entry.name)
    path = benchmark.path if source is None else user_path(source)
    path = path / name if path.is_dir() else path
    data = Path(path).read_bytes() if path.is_file() else b""
    if git_blob_id(data.replace(b"\r\n", b"\n")) != blob:
        raise DataError(
            f"{path} is not {entry.name}'s (git blob {git_blob_id(data)}, expected {blob}); it "
            "ships with the toolkit, so that there is nothing to pull"
        )
    prompts, questions = len(benchmark.prompts), benchmark.num_questions
    if as_json:
        print_json(
            {
                "folder": str(benchmark.path.parent),
                "prompts": prompts,
                "questions": questions,
                "licence": entry.terms,
            }
        )
        return
    say(f"note: {entry.name} ships with the toolkit: {entry.terms}")
    echo(
        f"{counted(prompts, 'prompt')}, {counted(questions, 'question')} verified in "
        f"{benchmark.path}; there is nothing to pull"
    )


@app.command()
def stats(name: BenchArgument = None, bench: Bench = None, as_json: AsJson = False) -> None:
    """Count items and questions by source, category and length."""
    from dpgbench.errors import counted
    from dpgbench.store.benchmark_table import DPG
    from dpgbench.store.benchmarks import load_benchmark

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
    from dpgbench.store.benchmark_table import DPG
    from dpgbench.store.benchmarks import load_benchmark

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
