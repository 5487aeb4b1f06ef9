"""A server whose patience is short, for tests; `python -m tests.server.impatient` runs it."""

from __future__ import annotations

from dpgbench.backends.judges.request import judge_request, load_judge
from dpgbench.server.batching import JudgeThread
from dpgbench.server.limits import Limits
from dpgbench.server.process import Address, serve
from dpgbench.server.service import Service
from dpgbench.store.benchmarks import load_benchmark

LIMITS = Limits(
    request_bytes=2**20,
    bodies_bytes=4 * 2**20,
    upload_seconds=0.5,
    head_seconds=0.5,
    request_seconds=5.0,
    reply_seconds=2.0,
    idle_seconds=2.0,
    idle_connections=40,
    discarded_bytes=64 * 2**20,
    picture_pixels=2**20,
    queue=16,
    images=8,
    items=8,
)


def make_service(judge: str = "ByColour") -> Service:
    request = judge_request(f"tests.server.own_judges:{judge}", device="cpu")
    return Service(
        JudgeThread(lambda: load_judge(request)),
        request.label,
        benchmark=load_benchmark("shapes"),
        rules=["corrected-v1"],
        limits=LIMITS,
    )


if __name__ == "__main__":
    serve(make_service(), Address(port=0), lambda line: print(line, flush=True))
