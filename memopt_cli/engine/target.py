"""A server of anybody's: started or found, waited for, looked at with all its children, ended."""

from __future__ import annotations

import base64
import importlib.util
import os
import re
import shutil
import socket
import sys
import tempfile
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from memopt_cli.engine import collecting
from memopt_cli.engine.command import Command
from memopt_cli.engine.service import Speech
from memopt_cli.errors import SubjectDied, SubjectHung, UsageError
from memopt_cli.profiler.tree import Tree, living
from memopt_cli.scenario.catalogue import shipped_dir
from memopt_cli.scenario.sockets import PORTS, SCHEMES
from memopt_cli.units import format_count, format_duration
from memopt_cli.workloads.sockets.settings import TlsSettings
from memopt_cli.workloads.sockets.shards import resolved

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from memopt_cli.engine.clock import Clock
    from memopt_cli.profiler.tree import Living
    from memopt_cli.scenario.model import Scenario
    from memopt_cli.scenario.sockets import TargetSection

MOST_REMOTE: Final = 10_000
"""Connections to another machine."""

MOST_REMOTE_PER_S: Final = 1000.0

_LOOK_EVERY_S = 0.05
_LOG_TAIL_BYTES = 10_000
_NAMED = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_WITH_PATH = ("http", "ws", "mcp+http")


def check(scenario: Scenario, *, allow_remote: bool) -> None:
    """
    Refuse, before anything is started, a target that cannot or must not be loaded.

    Raises:
        UsageError: Something that it needs is not installed, or it is on another machine.
    """
    target = scenario.target
    if target is None:
        return
    _check_needs(target)
    host = urlsplit(target.url.replace("{port}", "1")).hostname or ""
    address, _ = resolved(host, 1, allow_remote=True)
    if _is_loopback(address):
        return
    resolved(host, 1, allow_remote=allow_remote)
    rate, peak = scenario.load.arrival_rate_per_s, scenario.load.peak_units or 0
    if not 0 < rate <= MOST_REMOTE_PER_S or peak > MOST_REMOTE:
        raise UsageError(
            f"{format_count(peak)} connections to {host}, which is not this machine",
            hint=f"At most {format_count(MOST_REMOTE)}, with an arrival_rate of at most "
            f"{MOST_REMOTE_PER_S:.0f}/s.",
        )


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


def _check_needs(target: TargetSection) -> None:
    needs = target.needs
    missing = [name for name in needs.programs if shutil.which(name) is None]
    missing += [f"the Python module {name}" for name in needs.modules if not _importable(name)]
    if missing:
        raise UsageError(f"the target needs {', '.join(missing)}", hint=needs.hint)


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False


class TargetService:
    """A target that answers; `close` ends what was started for it."""

    def __init__(
        self,
        target: TargetSection,
        *,
        log: Path,
        clock: Clock,
        check: Callable[[], None],
        allow_remote: bool,
    ) -> None:
        """
        Args:
            target: What the scenario says of it.
            log: Where its output goes, if it is started.
            clock: Real time.
            check: Called while it is waited for; what it raises ends the wait.
            allow_remote: Whether it may be on another machine.

        Raises:
            TargetError: It cannot be started, ended, or did not listen in time.
            UsageError: Something else listens there, or a variable is not set.
        """
        self._log, self._log_start = log, log.stat().st_size
        self._clock = clock
        self._command: Command | None = None
        self.note = "Its output is in target.log." if target.command else ""
        with ExitStack() as opened:
            values = _values(target, opened)
            url = _filled(target.url, values)
            self.speech = _speech(target, url, allow_remote=allow_remote)
            if target.command is not None:
                words = [_filled(word, values) for word in target.command]
                self._command = self._started(words, _expanded(target.environment))
                opened.callback(self._stop, self._command)
                pid = self._command.pid
            else:
                pid = target.pid or 0
            found = living(pid)
            if found is None:
                raise SubjectDied(f"there is no process {pid}")
            self._first = found
            values["pid"] = str(pid)
            self._collect = tuple(_filled(word, values) for word in target.collect or ())
            self._tree = Tree(found)
            self._wait_until_it_listens(target.ready_within_s, check)
            # Its children are there when it listens, at the latest with the first connection.
            self._tree.look(thoroughly=True)
            self._opened = opened.pop_all()

    def members(self) -> tuple[Living, ...]:
        """
        Return its processes.

        Raises:
            SubjectDied: It has ended. One that was started, put others into the background
                and ended well has not.
        """
        found = self._tree.look()
        status = None if self._command is None else self._command.status()
        if status or not found:
            raise self._death()
        return found

    def collect(self) -> None:
        """Have it collect its garbage, if the scenario says how."""
        if self._collect:
            collecting.collect(self._collect, log=self._log)

    def heap(self) -> None:
        """Return nothing: it does not tell."""

    def digest(self) -> str:
        """Return nothing: what its connections remembered is its own."""
        return ""

    def close(self) -> None:
        """End it, if it was started; may be called again."""
        self._opened.close()

    def _started(self, words: list[str], variables: Mapping[str, str]) -> Command:
        if shutil.which(words[0]) is None:
            raise UsageError(
                f"there is no program {words[0]}", hint="Install it, or give its path."
            )
        destination = self.speech.destinations[0]
        if _listens(destination):
            host, port = destination
            raise UsageError(
                f"something listens on {host}:{port} already",
                hint="Give its pid in place of the command, or write {port} for a free one.",
            )
        # Ends with us, whatever ends us, and not by the terminal's Ctrl-C.
        tied = [sys.executable, "-P", "-m", "memopt_cli.workloads.lifeline", str(os.getpid())]
        return Command(
            [*tied, *words], {**os.environ, **variables}, clock=self._clock, output=self._log
        )

    def _stop(self, command: Command) -> None:
        tree = getattr(self, "_tree", None)
        command.stop(lambda: () if tree is None else tree.look(thoroughly=True))

    def _wait_until_it_listens(self, within_s: float, check: Callable[[], None]) -> None:
        until_s = self._clock.now() + within_s
        while not _listens(self.speech.destinations[0]):
            check()
            self.members()
            if self._clock.now() >= until_s:
                host, port = self.speech.destinations[0]
                raise SubjectHung(
                    f"nothing listens on {host}:{port} after {format_duration(within_s)}",
                    hint=self._log_hint(),
                )
            self._clock.sleep(_LOOK_EVERY_S)

    def _death(self) -> SubjectDied:
        how = "has ended" if self._command is None else self._command.failure() or "has ended"
        return SubjectDied(f"the target (pid {self._first.pid}) {how}", hint=self._log_hint())

    def _log_hint(self) -> str:
        if self._command is None:
            return ""
        with self._log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, end - _LOG_TAIL_BYTES))
            said = [
                line for line in log.read().decode(errors="replace").splitlines() if line.strip()
            ]
        return f"{self.note} {f'Its last line: {said[-1].strip()}' if said else 'It is empty'}"


def _values(target: TargetSection, opened: ExitStack) -> dict[str, str]:
    """Return what the placeholders stand for, as far as they are there."""
    texts = " ".join((target.url, *(target.command or ()), *(target.collect or ())))
    values = {"python": sys.executable, "scenarios": str(shipped_dir())}
    if "{port}" in texts:
        values["port"] = str(_free_port())
    if "{scratch}" in texts:
        values["scratch"] = opened.enter_context(
            tempfile.TemporaryDirectory(prefix="memopt-", ignore_cleanup_errors=True)
        )
    return values


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _expanded(texts: Mapping[str, str]) -> dict[str, str]:
    """Return texts with ``${NAME}`` replaced by the variable; secrets are in no scenario."""

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            raise UsageError(f"the variable {match[1]} is not set", hint=f"export {match[1]}=...")
        return found

    return {key: _NAMED.sub(value, text) for key, text in texts.items()}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _listens(destination: tuple[str, int]) -> bool:
    family = socket.AF_INET6 if ":" in destination[0] else socket.AF_INET
    with socket.socket(family) as end:
        end.settimeout(1.0)
        return end.connect_ex(destination) == 0


def _speech(target: TargetSection, url: str, *, allow_remote: bool) -> Speech:
    parts = urlsplit(url)
    protocol, within_tls = SCHEMES[parts.scheme]
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    options: dict[str, Any] = {}
    headers = _expanded(target.headers)
    user, password = (unquote(text or "") for text in (parts.username, parts.password))
    if protocol == "redis":
        options |= {key: text for key, text in (("user", user), ("password", password)) if text}
    elif protocol in _WITH_PATH:
        if parts.path or parts.query:
            options["path"] = parts.path + (f"?{parts.query}" if parts.query else "")
        if user or password:
            token = base64.b64encode(f"{user}:{password}".encode()).decode()
            headers.setdefault("Authorization", f"Basic {token}")
    if headers:
        options["headers"] = headers
    tls = target.tls
    return Speech(
        protocol=target.protocol or protocol,
        options={**options, **target.options},
        authority=f"{host}:{port}",
        destinations=(resolved(host, port, allow_remote=allow_remote),),
        tls=TlsSettings(tls.server_name or host, tls.cafile, tls.verify) if within_tls else None,
        sources=target.sources,
        search_path=(os.getcwd(),),  # noqa: PTH109 - where a user's own protocol is
        allow_remote=allow_remote,
        reset=target.close == "reset",
    )
