"""
What a worker says of itself: who it is, and how late it is. It is the name of its connection with the locks.

So an overview finds it where it finds the owners. It costs no write, and it is gone with the worker.
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
    """Return what the *label* of a worker says; ``None``, and what is no label, say nothing."""
    found = _LABEL.fullmatch(label or "")
    if found is None:
        return FleetWorker(owner=owner, name=None, late_by=None)
    return FleetWorker(owner=owner, name=found[2], late_by=int(found[1]))
