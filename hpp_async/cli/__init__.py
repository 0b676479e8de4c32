"""The command line, ``hpp-async`` (extra ``cli``)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hpp_async._extras import with_extra
from hpp_async.cli._signals import terminable

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> None:
    """Run ``hpp-async`` with *args*, by default those of the process, and exit with one of the codes in its help."""
    with terminable():
        try:
            from hpp_async.cli._app import run  # noqa: PLC0415 - an extra

            run(args)
        except ModuleNotFoundError as error:
            if error.name not in ("rich", "typer"):
                raise
            sys.exit(f"hpp-async: the command line needs packages that are not installed: {with_extra('cli')}")
        except KeyboardInterrupt:  # before the command itself began: these imports take a while
            print("hpp-async: interrupted", file=sys.stderr)
            sys.exit(130)
