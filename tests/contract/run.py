"""Ask schemathesis whether the simulator does what its OpenAPI description says; the exit code is its answer."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from hpp_async.simulator import Calendar, serve
from hpp_async.testing import Provider, Script, pays

AUTH: Final = ("PK00000_test", "not-a-secret")
HERE: Final = Path(__file__).resolve().parent
RUNS: Final[tuple[tuple[Script, tuple[str, ...]], ...]] = (
    # Nobody comes to the sessions: what is answered depends on what is asked, and not on when.
    (Script(), ("--exclude-tag=simulator",)),
    # All sessions are paid at once, so there are tokens to place orders with.
    (
        Script(pays(after=0)),
        tuple(
            f"--include-operation-id={name}"
            for name in ("createHppSession", "getSessionById", "createOrder", "purchaseToken", "cancelAuthorization")
        ),
    ),
    # The control API by itself: a fault, a reset or a jump in time would change the answers of the provider's own.
    (Script(), ("--include-tag=simulator",)),
)
"""Who visits the sessions of each run, and the options of the run."""


def main() -> int:
    code = 0
    with ThreadPoolExecutor(os.cpu_count()) as side_by_side:
        for done in side_by_side.map(lambda a_run: run(*a_run), RUNS):
            print(done.stdout, flush=True)
            code = max(code, abs(done.returncode))
    return code


def run(consumer: Script, options: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Return what schemathesis printed, and its exit code."""
    provider = Provider(now=Calendar(), auth=AUTH, quota=100_000, creation_quota=100_000, consumer=consumer)
    provider.beginning = lambda begun: begun.create()  # a session for the control API, also after a reset
    provider.beginning(provider)
    with serve(provider) as url:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")),
            *("run", f"{url}/openapi.json", "--url", url, "--auth", ":".join(AUTH), *options),
            *sys.argv[1:],
        ]
        with TemporaryDirectory() as elsewhere:  # for what it keeps of a run
            return subprocess.run(
                command, cwd=elsewhere, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )


if __name__ == "__main__":
    sys.exit(main())
