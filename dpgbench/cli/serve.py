"""`dpgbench serve`: a judge that answers over HTTP."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from dpgbench.cli.console import echo
from dpgbench.cli.option_groups import with_option_groups
from dpgbench.cli.options import (
    Bench,
    JudgeName,
    JudgeOptions,
    WorkersChoice,
    complete_rule,
)
from dpgbench.domain.rules import DEFAULT_RULES, RULES, find_rule
from dpgbench.errors import SetupError, UsageError

if TYPE_CHECKING:
    from dpgbench.backends.protocols import JudgeRequest
    from dpgbench.domain.benchmark import Benchmark
    from dpgbench.engine.options import EngineOptions
    from dpgbench.server.batching import Askers
    from dpgbench.server.limits import Limits
    from dpgbench.server.process import Address
    from dpgbench.server.service import Service

_MIB = 2**20


@dataclass(frozen=True)
class AddressOptions:
    """Where the server is reached, and by whom."""

    host: Annotated[
        str, typer.Option("--host", help="Interface; the default is for this machine alone.")
    ] = "127.0.0.1"
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0 takes a free one, and says which.")
    ] = 8000
    api_key_env: Annotated[
        str | None,
        typer.Option(
            "--api-key-env",
            metavar="NAME",
            help="Environment variable with the key that requests must bear.",
        ),
    ] = None

    def address(self) -> Address:
        """Return the address.

        Raises:
            UsageError: the variable with the key is not set.
        """
        from dpgbench.server.process import Address

        if self.api_key_env is None:
            return Address(self.host, self.port)
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise UsageError(
                f"--api-key-env {self.api_key_env}: there is no such environment variable, or "
                "it is empty; set it to the key, for example to what 'openssl rand -hex 32' prints"
            )
        return Address(self.host, self.port, key)


@dataclass(frozen=True)
class LimitOptions:
    """What requests may cost."""

    max_request_mb: Annotated[
        int, typer.Option("--max-request-mb", min=1, help="MiB of one request's body.")
    ] = 64
    max_pixels: Annotated[
        int, typer.Option("--max-pixels", min=1, max=2**26, help="Pixels of one picture.")
    ] = 2**24
    queue: Annotated[
        int,
        typer.Option("--queue", min=1, help="Pictures (of a megapixel) that wait; then 429."),
    ] = 512
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds that a reply may take; then 504.")
    ] = 300.0
    grace: Annotated[
        float,
        typer.Option("--grace", min=0, help="Seconds to finish what was accepted, at the end."),
    ] = 30.0

    def limits(self) -> Limits:
        """Return all limits; those without an option have their defaults."""
        from dpgbench.server.limits import Limits

        default = Limits()
        return Limits(
            request_bytes=self.max_request_mb * _MIB,
            bodies_bytes=max(default.bodies_bytes, 2 * self.max_request_mb * _MIB),
            picture_pixels=self.max_pixels,
            queue=self.queue,
            request_seconds=self.timeout,
            grace_seconds=self.grace,
        )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


@with_option_groups
def serve(
    *,
    judge: JudgeName = None,
    bench: Bench = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            "--rule",
            help=f"Where a request names none (repeatable): {', '.join(RULES)}.",
            autocompletion=complete_rule,
        ),
    ] = None,
    listening: AddressOptions,
    judge_options: JudgeOptions,
    engine: WorkersChoice,
    limits: LimitOptions,
) -> None:
    """Answer questions about pictures over HTTP, until Ctrl-C or SIGTERM (see docs/serve.md)."""
    from dpgbench.store.benchmarks import load_benchmark

    for name in rule or ():
        find_rule(name)
    workers = engine.options()
    request = judge_options.request(judge, elsewhere=engine.address is not None)
    _require_packages()
    from dpgbench.server.process import serve as run
    from dpgbench.server.service import Service

    benchmark = None if bench is None else _checked(load_benchmark(bench))
    service = Service(
        _askers(request, workers),
        request.label,
        benchmark=benchmark,
        rules=list(dict.fromkeys(rule or DEFAULT_RULES)),
        limits=limits.limits(),
    )
    service.rules = _usable(service, rule)
    run(service, listening.address(), echo)


def _askers(request: JudgeRequest, options: EngineOptions) -> Askers:
    """Return who asks the judge: a thread of this process, or processes of Ray.

    Raises:
        UsageError: the judge or the cluster is not for processes of Ray.
        SetupError: Ray is not installed.
    """
    from dpgbench.backends.judges.request import load_judge
    from dpgbench.backends.judges.table import find_judge
    from dpgbench.engine.asking import refuse_budget_of_many
    from dpgbench.server.batching import JudgeThread

    if not options.is_ray:
        return JudgeThread(lambda: load_judge(request))
    refuse_budget_of_many(request, options)
    if (options.address or "").startswith("ray://"):
        raise UsageError(
            f"--address {options.address}: a server must be on a machine of the cluster, for Ray "
            "Serve hands nothing over a client: give --address auto there"
        )
    from dpgbench.server.ray_replicas import RayReplicas, import_serve

    import_serve()
    entry = find_judge(request.name)
    return RayReplicas(
        request,
        options,
        device=request.device if entry.on_device else "cpu",
        own_class=entry.target if entry.is_own else None,
    )


def _require_packages() -> None:
    """Raise where the server's packages are not installed.

    Raises:
        SetupError: it has the command that installs them.
    """
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise SetupError(
            f"dpgbench serve needs packages that are not installed ({error.name} is missing): "
            "pip install 'dpgbench[serve]'"
        ) from None


def _checked(benchmark: Benchmark) -> Benchmark:
    benchmark.require_graphs()
    benchmark.require_unique_questions()
    return benchmark


def _usable(service: Service, asked: Sequence[str] | None) -> list[str]:
    """Return the rules that can score the benchmark; of those asked for, all must.

    Raises:
        DataError: one refuses it.
    """
    from dpgbench.errors import DataError

    usable = []
    for name in service.rules:
        reason = service.why_refused(find_rule(name))
        if reason and asked:
            raise DataError(reason)
        if reason is None:
            usable.append(name)
    return usable
