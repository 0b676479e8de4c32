"""CPU of `import hpp_async`, and of making a client, beside the same of its dependencies; each less a bare start."""

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

_OURS: Final = "import hpp_async; "
_THEIRS: Final = "import httpx, cattrs, anyio, tenacity; "
_OUR_CLIENT: Final = "hpp_async.HPPClient(auth=('PK1_a', 'b'), endpoint='EU_PLAYGROUND')"
_THEIR_CLIENT: Final = "httpx.AsyncClient(); cattrs.Converter()"


def measure(*, quick: bool) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as compiled:
        # Byte code is written once, even where this machine forbids to write it beside the source.
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environ["PYTHONPYCACHEPREFIX"] = compiled
        rounds = 4 if quick else 41
        imports = [_pair(_OURS, _THEIRS, environ) for _ in range(rounds)]
        # What `import hpp_async` leaves for later, a client pays when it is made: cattrs, tenacity, certificates.
        clients = [_pair(_OURS + _OUR_CLIENT, _THEIRS + _THEIR_CLIENT, environ) for _ in range(rounds)]
    yield Comparison.of(imports[1:]).figure("import_time", bar=1.2, scale=1e3, unit="ms")
    yield Comparison.of(clients[1:]).figure("import_and_client", bar=None, scale=1e3, unit="ms")


def _pair(our_code: str, their_code: str, environ: Mapping[str, str]) -> tuple[float, float]:
    start = _cpu("", environ)
    ours = _cpu(our_code, environ)
    theirs = _cpu(their_code, environ)
    return ours - start, theirs - start


def _cpu(code: str, environ: Mapping[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", _LEAN + code], check=True, env=environ)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
