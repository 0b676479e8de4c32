"""The command line, ``hpp-async`` (extra ``cli``)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> None:
    """Run ``hpp-async`` with *args*, by default those of the process, and exit with one of the codes in its help."""
    try:
        from hpp_async.cli._app import run  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if error.name not in ("rich", "typer"):
            raise
        sys.exit('hpp-async: the command line needs two more packages: pip install "hpp-async[cli]"')
    run(args)
