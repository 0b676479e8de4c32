"""The command line, ``hpp-async`` (extra ``cli``)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> None:
    """Run ``hpp-async`` with *args*, or with those of the process, and exit with the code its help speaks of."""
    try:
        from hpp_async.cli._app import run  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if error.name not in ("rich", "typer"):
            raise
        sys.exit('hpp-async: the command line needs two more packages: pip install "hpp-async[cli]"')
    run(args)
