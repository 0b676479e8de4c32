"""What to install for a part of the package whose extra is missing: true before the first release, and after it."""

from __future__ import annotations


def with_extra(extra: str) -> str:
    """Return what to do about a missing *extra*, as the end of a message. It depends on no place to install from."""
    return f"install hpp-async with the extra {extra!r}"
