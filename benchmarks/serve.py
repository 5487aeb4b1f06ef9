"""Throughput of `dpgbench serve` against `dpgbench score` on the same grids.

    python -m benchmarks.serve                                        # the embedded judge
    python -m benchmarks.serve --judge mplug --weights FOLDER --grids 4 --clients 4

64 clients send a grid of four tiles each, at once, again and again until all grids are answered;
beside it the asking of `dpgbench score` goes through the same files. Both have loaded the judge
before and are measured in turns, so that other work on the machine meets both. What `score` does
besides asking (loading, scoring, writing scores) is not counted; what the server does is. Processor
seconds are those of either process, without the clients: other work changes them least.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from dpgbench.backends.judges.request import judge_request, load_judge
from dpgbench.backends.protocols import Judge
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.spec import GridSpec
from dpgbench.jobs.ask import ask, open_grids
from dpgbench.shapes.benchmark import benchmark_items
from dpgbench.shapes.render import render
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.images import join_tiles, png_bytes
from dpgbench.store.run.directory import RunDir

TILES = 4


def main() -> None:
    options = parse_options()
    os.environ["TQDM_DISABLE"] = "1"
    benchmark = load_benchmark("shapes")
    grid = GridSpec(TILES, options.tile_px, options.tile_px)
    grids = draw(options.grids, grid)
    weights = {"judge": str(options.weights)} if options.weights else {}
    judge = load_judge(judge_request(options.judge, weights=weights, device=options.device))
    with tempfile.TemporaryDirectory() as scratch, server(options) as (port, process):
        files = {item_id: Path(scratch) / f"{item_id}.png" for item_id in grids}
        for item_id, data in grids.items():
            files[item_id].write_bytes(data)
        bodies = [body_of(item_id, data) for item_id, data in grids.items()]
        by_score(benchmark, judge, dict(list(files.items())[:2]), grid, Path(scratch) / "warm")
        by_server(port, bodies[:2], options.clients)
        ratios = []
        for number in range(options.rounds):
            run = Path(scratch) / f"run-{number}"
            before = processor_seconds(os.getpid())
            scoring = by_score(benchmark, judge, files, grid, run)
            of_score = processor_seconds(os.getpid()) - before
            before = processor_seconds(process)
            serving = by_server(port, bodies, options.clients)
            of_serve = processor_seconds(process) - before
            ratios.append(scoring / serving)
            print(
                f"score {len(files) / scoring:7.2f} grids a second, "
                f"serve {len(files) / serving:7.2f}: {ratios[-1]:.2f}; processor seconds a grid "
                f"{of_score / len(files):.3f} and {of_serve / len(files):.3f}: "
                f"{of_score / of_serve:.2f}"
            )
        print(f"serve : score, median of {len(ratios)}: {statistics.median(ratios):.2f}")


def processor_seconds(process: int) -> float:
    """What a process has used so far, by Linux's own count."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--judge", default="tiny-mplug")
    parser.add_argument("--weights", type=Path, help="folder of the judge's weights")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--grids", type=int, default=128)
    parser.add_argument("--tile-px", type=int, default=64)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def draw(number: int, grid: GridSpec) -> dict[str, bytes]:
    """Encoded grids by item; each holds the scenes of four items in a row."""
    items = benchmark_items()[:number]
    tiles = [render(item.scene, size_px=grid.tile_width_px) for item in items]
    around = tiles + tiles[:TILES]
    return {
        item.item_id: png_bytes(join_tiles(around[place : place + TILES], grid))
        for place, item in enumerate(items)
    }


def body_of(item_id: str, data: bytes) -> bytes:
    picture = base64.b64encode(data).decode()
    item = {"item_id": item_id, "images": [picture], "layout": "2x2"}
    return json.dumps({"items": [item]}).encode()


@contextmanager
def server(options: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """The port of a server that is ready, and its process."""
    words = ["serve", "--judge", options.judge, "--bench", "shapes", "--device", options.device]
    words += ["--weights", f"judge={options.weights}"] if options.weights else []
    command = [sys.executable, "-m", "dpgbench", *words, "--port", "0", "--timeout", "3600"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None:
            raise SystemExit("the server has no output")
        address, ready = process.stdout.readline(), process.stdout.readline()
        if not ready:
            raise SystemExit("the server did not come up")
        yield int(address.rpartition(":")[2]), process.pid
    finally:
        process.terminate()
        process.wait()


def by_score(
    benchmark: Benchmark, judge: Judge, files: Mapping[str, Path], grid: GridSpec, run: Path
) -> float:
    """Seconds of `dpgbench score`'s asking."""
    (run / "answers").mkdir(parents=True)
    directory = RunDir(run)
    grids = open_grids(benchmark, list(files), files, {}, TILES)
    start = time.perf_counter()
    asked = ask(directory, "judge", judge, grids, grid)
    seconds = time.perf_counter() - start
    if asked.failures:
        raise SystemExit(f"not all was answered: {dict(asked.failures)}")
    return seconds


def by_server(port: int, bodies: Sequence[bytes], clients: int) -> float:
    """Seconds until all bodies are answered, each client sending one at a time."""

    def send(mine: Sequence[bytes]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3600)
        for body in mine:
            connection.request("POST", "/v1/score", body, {"content-type": "application/json"})
            response = connection.getresponse()
            reply = json.loads(response.read())
            if response.status != 200 or reply["failures"]:
                raise SystemExit(f"not all was answered: {reply}")
        connection.close()

    shares = [bodies[number::clients] for number in range(min(clients, len(bodies)))]
    with ThreadPoolExecutor(len(shares)) as pool:
        start = time.perf_counter()
        for _ in pool.map(send, shares):
            pass
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
