"""CPU of `import hpp_async` beside importing its dependencies, each less the start of a bare interpreter."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Final

from benchmarks.figures import Comparison, Figure

# As without extras: where click is installed, httpx loads its command line and rich, which takes half as long again.
_LEAN: Final = "import sys; sys.modules['click'] = sys.modules['orjson'] = None; "


def measure(*, quick: bool) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as compiled:
        # Byte code is written once, even where this machine forbids to write it beside the source.
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environ["PYTHONPYCACHEPREFIX"] = compiled
        pairs = [_pair(environ) for _ in range(4 if quick else 41)]
    yield Comparison.of(pairs[1:]).figure("import_time", bar=1.25, scale=1e3, unit="ms")


def _pair(environ: Mapping[str, str]) -> tuple[float, float]:
    start = _cpu("", environ)
    ours = _cpu("import hpp_async", environ)
    theirs = _cpu("import httpx, cattrs, anyio, tenacity", environ)
    return ours - start, theirs - start


def _cpu(code: str, environ: Mapping[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", _LEAN + code], check=True, env=environ)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
