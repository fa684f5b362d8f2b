"""
The tasks of a developer and of CI: ``nox`` runs the gates, ``nox --list`` shows all.

The sessions use the tools of the environment that nox itself is installed in:
``python3 -m pip --python .venv install -e ".[dev]"``, then ``.venv/bin/nox``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "layers", "dependencies", "tests", "wheel"]

BIN = Path(sys.executable).parent
TARGETS = ("redis", "nginx", "websockets", "websockets-compressed", "mcp")


def tool(
    session: nox.Session, name: str, *arguments: str, env: dict[str, str] | None = None
) -> None:
    """Run a tool that is installed beside this interpreter."""
    session.run(str(BIN / name), *arguments, external=True, env=env)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    tool(session, "ruff", "check", ".")
    tool(session, "ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly, tests included."""
    tool(session, "mypy")


@nox.session
def layers(session: nox.Session) -> None:
    """Check that each floor imports only what stands below it."""
    tool(session, "lint-imports")


@nox.session
def dependencies(session: nox.Session) -> None:
    """Check that what is imported is declared, and what is declared is imported."""
    tool(session, "deptry", ".")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; arguments after ``--`` go to pytest."""
    tool(session, "pytest", *session.posargs)


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel, install it elsewhere, and run a scenario by name from an empty folder."""
    folder = Path(session.create_tmp()).resolve()
    environment, empty = folder / "elsewhere", folder / "empty"
    empty.mkdir(exist_ok=True)
    python = sys.base_prefix + "/bin/python3"
    pip = (python, "-m", "pip")
    dist = folder / "dist"
    session.run(*pip, "wheel", "-q", "--no-deps", "-w", str(dist), ".", external=True)
    session.run(python, "-m", "venv", "--without-pip", "--clear", str(environment), external=True)
    built = str(next(dist.glob("memopt_cli-*.whl")))
    session.run(
        *pip,
        "--python",
        str(environment),
        "install",
        "-q",
        "--force-reinstall",
        built,
        external=True,
    )
    session.chdir(empty)
    session.run(str(environment / "bin/memopt"), "simulate", "connections-1k", external=True)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure memopt itself; name modules after ``--`` to run only those."""
    pip = (sys.base_prefix + "/bin/python3", "-m", "pip", "--python", sys.prefix)
    session.run(*pip, "install", "-q", "-e", ".[bench]", external=True)
    found = sorted(path.stem for path in Path("tests/benchmarks").glob("bench_*.py"))
    for name in session.posargs or found:
        session.run(sys.executable, "-m", f"tests.benchmarks.{name}", external=True)


@nox.session
def thorough(session: nox.Session) -> None:
    """Run the property tests long: state machines of 500 steps, 200 examples each."""
    tool(
        session,
        "pytest",
        "tests/pool",
        "tests/optimizer",
        *session.posargs,
        env={"MEMOPT_HYPOTHESIS": "thorough"},
    )


@nox.session
def proof(session: nox.Session) -> None:
    """Run the planted leak and its clean twin ten times each: 99 and 0, every time."""
    for _ in range(10):
        session.run(
            str(BIN / "memopt"),
            "simulate",
            "--quiet",
            "planted-leak",
            external=True,
            success_codes=[99],
        )
        session.run(str(BIN / "memopt"), "simulate", "--quiet", "planted-leak-clean", external=True)


@nox.session
def reference(session: nox.Session) -> None:
    """Make the committed reference reports anew."""
    for name in ("connections-scale", "connections-4mb"):
        for old in Path("reports", name).glob("*"):
            old.unlink()
        session.run(
            str(BIN / "memopt"), "simulate", name, "--out", f"reports/{name}", external=True
        )


@nox.session(name="reference-targets")
def reference_targets(session: nox.Session) -> None:
    """Make the reports of other servers anew; needs redis, nginx and the extra ``targets``."""
    names = [f"target-{name}" for name in TARGETS]
    for old in Path("reports/targets").rglob("*.*"):
        old.unlink()
    # The MCP server leaks, which is what its report is there to show.
    session.run(
        str(BIN / "memopt"),
        "simulate",
        *names,
        "--out",
        "reports/targets",
        external=True,
        success_codes=[99],
    )
