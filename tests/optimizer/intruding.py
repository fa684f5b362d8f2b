"""Something that happens in the middle of something else, at every place where it may."""

from __future__ import annotations

import dis
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

SWITCHES = ("RESUME", "CALL", "CALL_KW", "CALL_FUNCTION_EX", "JUMP_BACKWARD")
"""After these the interpreter looks for signals, switches threads, and runs finalisers from
Python 3.12 on."""

COLLECTIONS = ("BUILD_SLICE", "BUILD_TUPLE", "BUILD_LIST", "BUILD_MAP")
"""In these Python 3.11 may run the collector, and so finalisers."""


def interrupted(
    action: Callable[[], object],
    step: int,
    intrusion: Callable[[], object],
    *,
    after: tuple[str, ...] = SWITCHES + COLLECTIONS,
) -> bool:
    """
    Run *action*, and *intrusion* before its bytecode number *step*; say if there was one.

    Only bytecodes of `memopt_cli.optimizer` that follow one of *after* are counted.
    """
    left = step
    last: dict[FrameType, str] = {}

    def trace(frame: FrameType, event: str, _: object) -> object:
        nonlocal left
        if not frame.f_globals["__name__"].startswith("memopt_cli.optimizer"):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            if last.get(frame) in after:
                left -= 1
                if left == 0:
                    intrusion()
            last[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
        return trace

    before = sys.gettrace()
    # Said before: 3.12 heeds the first one to ask for bytecodes from the next trace on.
    sys._getframe().f_trace_opcodes = True
    sys.settrace(trace)  # type: ignore[arg-type] # typeshed wants its own recursive type
    try:
        action()
    finally:
        sys.settrace(before)
    return left <= 0
