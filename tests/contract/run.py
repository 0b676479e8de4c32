"""Ask schemathesis whether the simulator does what its OpenAPI description says; the exit code is its answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from hpp_async.simulator import Calendar, serve
from hpp_async.testing import Provider, Script

AUTH: Final = ("PK00000_test", "not-a-secret")
HERE: Final = Path(__file__).resolve().parent


def main() -> int:
    # Nobody comes to the sessions: what is answered depends on what is asked, and not on when.
    provider = Provider(now=Calendar(), auth=AUTH, quota=100_000, consumer=Script())
    with serve(provider) as url:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")),
            *("run", f"{url}/openapi.json", "--url", url, "--auth", ":".join(AUTH)),
            *sys.argv[1:],
        ]
        with TemporaryDirectory() as elsewhere:  # for what it keeps of a run
            return subprocess.run(command, cwd=elsewhere, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
