"""
The label of a worker: its name and how late its reads are, as the name of its connection with the locks.

So an overview finds the labels where it finds the owners. A label costs no write, and is gone with its worker.
"""

from __future__ import annotations

import re
from typing import Final

from hpp_async.fleet._values import FleetWorker

_LABEL: Final = re.compile(r"hpp_async late=(\d+) (.+)")


def label_of(name: str, late_by: float) -> str:
    """Return the label of the worker *name*. PostgreSQL cuts it after 63 bytes, at the end of the name."""
    return f"hpp_async late={int(late_by)} {name}"


def worker_of(owner: int, label: str | None) -> FleetWorker:
    """Return what the *label* says of the worker *owner*: no name and no lateness if it is ``None`` or no label."""
    found = _LABEL.fullmatch(label or "")
    if found is None:
        return FleetWorker(owner=owner, name=None, late_by=None)
    return FleetWorker(owner=owner, name=found[2], late_by=int(found[1]))
