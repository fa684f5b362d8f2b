"""Begins recording in a watched program, then gives way to the program's own ``sitecustomize``."""

# Any Python may find this file, a Python 2 too: its syntax must be older than all of them.
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))

if sys.version_info >= (3, 8) and sys.implementation.name == "cpython":
    try:
        __import__("memopt_agent").install(os.environ.get("MEMOPT_WATCH", ""))
    except Exception:  # noqa: BLE001, S110 - whatever fails here must not fail the program
        pass

sys.path[:] = [entry for entry in sys.path if entry != _HERE]
sys.path_importer_cache.pop(_HERE, None)
sys.modules.pop("sitecustomize", None)
# Raises ImportError where there is no other one, which `site` takes for "there is none".
__import__("sitecustomize")
