"""`memopt doctor`: what this machine can hold, before a run finds out."""

from __future__ import annotations

from typing import Annotated

import typer

_MOST = 100_000_000
_MOST_PROCESSES = 100_000


def doctor(
    connections: Annotated[
        int, typer.Option(min=1, max=_MOST, help="How many are to be open at once.")
    ] = 100_000,
    servers: Annotated[
        int, typer.Option(min=1, max=_MOST_PROCESSES, help="Processes that accept on one port.")
    ] = 1,
    drivers: Annotated[
        int, typer.Option(min=1, max=_MOST_PROCESSES, help="Processes that connect.")
    ] = 1,
    sources: Annotated[
        int, typer.Option(min=1, max=_MOST_PROCESSES, help="Addresses that they connect from.")
    ] = 1,
    bytes_per_connection: Annotated[
        str, typer.Option(metavar="SIZE", help="Of the server's memory: 16KiB.")
    ] = "",
    agents: Annotated[int, typer.Option(min=0, max=_MOST, help="Agents at once.")] = 0,
    bytes_per_agent: Annotated[
        str, typer.Option(metavar="SIZE", help="Memory of an agent: 8MiB.")
    ] = "",
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with all that was read.")
    ] = False,
) -> None:
    """Tell what this machine can hold, and what to change where it is too little."""
    from memopt_cli.analysis import capacity
    from memopt_cli.analysis.fit import Wanted
    from memopt_cli.profiler import environment, limits
    from memopt_cli.report import doctor as report

    wanted = Wanted(
        connections,
        server_processes=servers,
        driver_processes=drivers,
        sources=sources,
        bytes_per_connection=_size("--bytes-per-connection", bytes_per_connection),
        agents=agents,
        bytes_per_agent=_size("--bytes-per-agent", bytes_per_agent),
    )
    told = limits.read()
    findings = capacity.assess(told, wanted)
    verdict = capacity.verdict(findings)
    instead = capacity.arrangement(told, wanted)
    code = capacity.exit_code(verdict)
    if json:
        text = report.to_json(
            findings,
            verdict=verdict,
            exit_code=code,
            wanted=wanted,
            instead=instead,
            limits=told,
            environment=environment.describe(),
        )
    else:
        text = report.to_text(findings, verdict=verdict, wanted=wanted, instead=instead)
    typer.echo(text, nl=False)
    raise typer.Exit(code)


def _size(flag: str, text: str) -> float | None:
    """Return a size in bytes, `None` for none; raise `UsageError` for what is no size."""
    from memopt_cli.errors import UsageError
    from memopt_cli.units import parse_size

    if not text:
        return None
    try:
        size_bytes = parse_size(text)
    except ValueError as exc:
        raise UsageError(f"{flag}: {exc}") from exc
    if size_bytes < 0:
        raise UsageError(f"{flag} {text} is below zero", hint="Give what one takes: 16KiB.")
    return size_bytes
