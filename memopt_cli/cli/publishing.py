"""What becomes of the outputs of a run while several are made: none is lost with a later one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.errors import MemoptError
from memopt_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from memopt_cli.cli.outputs import Chosen, Told


class Publishing:
    """
    Writes the outputs that were asked for, and the summary of a GitHub job.

    Files are written anew after each run, with all there are by then; what is printed
    comes once, at the end.
    """

    def __init__(self, wanted: Chosen, *, to_stderr: bool) -> None:
        """
        Args:
            wanted: What was asked for.
            to_stderr: Whether stdout belongs to somebody else: a document, or the command.
        """
        self._wanted = wanted
        self._to_stderr = to_stderr
        self._told: list[Told] = []
        self._failed = False

    def add(self, one: Told) -> None:
        """Write everything that can be written now; what cannot be is told, and no more."""
        from memopt_cli.cli import outputs

        self._told.append(one)
        try:
            outputs.write(self._wanted, self._told)
        except MemoptError as exc:
            self._tell(exc)
        if self._wanted.printed is not outputs.Format.GITHUB and outputs.wants_github():
            outputs.tell_github(one, to_stderr=self._to_stderr)

    def end(self) -> set[ExitCode]:
        """Print what is to be printed, and return the exit code of what went wrong, if any."""
        from memopt_cli.cli import outputs

        printed = self._wanted.printed
        if printed is outputs.Format.GITHUB:
            for one in self._told:
                outputs.tell_github(one)
        elif printed is not None:
            try:
                outputs.print_out(outputs.document(printed, self._told))
            except MemoptError as exc:
                self._tell(exc)
        return {ExitCode.USAGE_ERROR} if self._failed else set()

    def _tell(self, error: MemoptError) -> None:
        from memopt_cli.cli import display

        self._failed = True
        display.say(f"error: {error}")
        display.say(f"  {error.hint}")
