"""The project's checks: `nox` runs the default ones, `nox --list` names them all."""

import json
import shutil
import tarfile
from pathlib import Path
from typing import Final

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"  # A missing interpreter is skipped, or an error where CI is set.
nox.options.reuse_venv = "yes"
nox.options.sessions = [
    "lint",
    "typing",
    "tests",
    "coverage",
    "lowest",
    "package",
    "site",
    "faults",
    "fleet",
    "engines",
    "schemathesis",
    "browser",
]

PYPROJECT: Final = nox.project.load_toml("pyproject.toml")
INTERPRETERS: Final = ["3.11", "3.12", "3.13"]
CHECKOUT: Final = ("-e", ".[aiohttp,cli,fast,httpx2,otel,postgres,prometheus,simulator,testing]")
ON_ALL_CORES: Final = ("--numprocesses=auto", "--dist=worksteal")
BRIEFLY: Final = ("-m", "not thorough")
WORKFLOWS: Final = Path(".github", "workflows")
FORMS: Final = Path(".github", "ISSUE_TEMPLATE")
SCHEMAS: Final = {
    "citation-file-format": ["CITATION.cff"],
    "github-issue-config": [str(FORMS / "config.yml")],
    "github-issue-forms": [str(path) for path in sorted(FORMS.glob("*.yml")) if path.stem != "config"],
    "github-workflows": [str(path) for path in sorted(WORKFLOWS.glob("*.yml"))],
}

IS_INSTALLED: Final = """
import pathlib, sysconfig, hpp_async
home = pathlib.Path(hpp_async.__file__).parent
assert home.parent == pathlib.Path(sysconfig.get_path("purelib")), f"{home} is not the installed package"
assert (home / "py.typed").exists(), "the wheel has no py.typed"
"""


def _group(name: str) -> tuple[str, ...]:
    """Return the requirements of a dependency group."""
    return nox.project.dependency_groups(PYPROJECT, name)


def _floors() -> list[str]:
    """Return the run-time requirements, those of the extras included, each at exactly its floor."""
    project = PYPROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [requirement.replace(">=", "==", 1) for group in groups for requirement in group]


@nox.session
def lint(session: nox.Session) -> None:
    """Check rules and formatting, and the files that are read by others: by GitHub, and by those who cite."""
    session.install(*_group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    for schema, paths in SCHEMAS.items():
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *paths)
    session.run("zizmor", "--offline", "--quiet", "--persona=pedantic", ".github")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types of every Python file, with both checkers."""
    session.install(*CHECKOUT, *_group("typing"), *_group("bench"), *_group("site"))
    session.run("mypy")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "hpp_async", "--ignoreexternal")  # every public name has a known type


@nox.session(python=INTERPRETERS)
def tests(session: nox.Session) -> None:
    """
    Run the suite on one interpreter: on the oldest in full, and there its branch coverage is measured.

    What is thorough runs without the measurement: it covers nothing more, and would take longer.
    """
    session.install(*CHECKOUT, *_group("tests"))
    pytest = ("-m", "pytest", *ON_ALL_CORES)
    if session.python != INTERPRETERS[0]:
        session.run("python", *pytest, *BRIEFLY, *session.posargs)
        return
    session.run("coverage", "erase")
    session.run("coverage", "run", *pytest, *BRIEFLY, *session.posargs)
    if not session.posargs:
        session.run("python", *pytest, "-m", "thorough")
        session.notify("coverage")


@nox.session
def coverage(session: nox.Session) -> None:
    """Require that the suite covered every line and branch."""
    if not any(Path().glob(".coverage.*")):
        session.skip("no tests were run")
    session.install("coverage[toml]")
    session.run("coverage", "combine")
    session.run("coverage", "report")


@nox.session(python=INTERPRETERS[0])
def lowest(session: nox.Session) -> None:
    """
    Run the suite on the oldest interpreter with the oldest dependencies that are admitted.

    Left out are what is thorough and the tests of decisions, which need attrs alone.
    """
    session.install(*CHECKOUT, *_floors(), *_group("tests"))
    session.run("python", "-m", "pytest", *ON_ALL_CORES, *BRIEFLY, "--ignore=tests/_core", *session.posargs)


def _built(session: nox.Session, dist: Path) -> Path:
    """Build the sdist into *dist*, and from it the wheel; check what an index would show, and return the wheel."""
    session.run("python", "-m", "build", "--outdir", str(dist))
    [sdist], [wheel] = dist.glob("*.tar.gz"), dist.glob("*.whl")
    session.run("twine", "check", "--strict", str(sdist), str(wheel))
    session.run("check-wheel-contents", str(wheel))
    if Path(".git").exists():
        _check_contents(session, sdist)
    return wheel


def _check_contents(session: nox.Session, sdist: Path) -> None:
    """Require that *sdist* has every file of the repository but those of its CI, and no other."""
    # CI's clone may belong to another user.
    command = ("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listed = str(session.run(*command, external=True, silent=True, log=False)).split("\0")
    expected = {name for name in listed if Path(name).is_file() and not name.startswith(".ci/")} | {"PKG-INFO"}
    with tarfile.open(sdist) as archive:
        contents = {member.name.partition("/")[2] for member in archive if member.isfile()}
    if contents != expected:
        session.error(f"lacking in {sdist.name} or too many: {sorted(contents ^ expected)}")


@nox.session(reuse_venv=False)
def package(session: nox.Session) -> None:
    """
    Build the sdist and from it the wheel, check both, and run the suite against the wheel: without orjson, for once.

    Left out are the tests of decisions and of waiting in virtual time: what a package can lack shows in all others.
    """
    session.install(*_group("package"))
    # A temporary folder of nox's would be the tests' own, in the checkout.
    wheel = _built(session, Path(session.virtualenv.location, "dist"))
    session.install(f"{wheel}[aiohttp,cli,httpx2,otel,postgres,prometheus,simulator,testing]", *_group("tests"))
    session.run("python", "-Ic", IS_INSTALLED)  # -I keeps the checkout off sys.path, here and below.
    without = [f"--ignore=tests/{room}" for room in ("_core", "_waits", "simulation")]
    session.run("python", "-Im", "pytest", *ON_ALL_CORES, *BRIEFLY, *without, *session.posargs)


@nox.session(reuse_venv=False)
def release(session: nox.Session) -> None:
    """
    Build what a release publishes into dist/, and its bill of materials: `nox -s release -- v0.1.0`.

    CONTRIBUTING.md ("Release") says what comes before.
    """
    [tag] = session.posargs
    home, version = PYPROJECT["project"]["urls"]["Homepage"], tag.removeprefix("v")
    if home.endswith(".example"):
        session.error(f"{home} is a placeholder: put the project's home into pyproject.toml")
    for document in (Path("README.md"), Path("SECURITY.md"), *Path("docs").glob("*.md")):
        if "no release yet" in document.read_text("utf-8"):
            session.error(f"{document} says that there is no release yet")
    if f"## [{version}] - 2" not in Path("CHANGELOG.md").read_text("utf-8"):
        session.error(f"CHANGELOG.md has no date for {version}")

    session.install(*_group("release"))
    dist = Path("dist")
    shutil.rmtree(dist, ignore_errors=True)
    wheel = _built(session, dist)
    if not wheel.name.startswith(f"hpp_async-{version}-"):
        session.error(f"{wheel.name} is not what the tag {tag} names")

    # What the wheel needs, as it is installed today, and nothing of the tools around it.
    environment = Path(session.virtualenv.location, "materials")
    session.run("python", "-m", "venv", str(environment))
    python = str(environment / "bin" / "python")
    session.run(python, "-m", "pip", "install", "--quiet", str(wheel), external=True)
    session.run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "pip", "setuptools", external=True)
    bill = Path("build", "sbom.cdx.json")
    bill.parent.mkdir(exist_ok=True)
    about = ("--pyproject", "pyproject.toml", "--mc-type", "library")
    session.run("cyclonedx-py", "environment", *about, "--output-reproducible", "--output-file", str(bill), python)
    content = json.loads(bill.read_text("utf-8"))
    content["metadata"]["component"]["version"] = version  # which is dynamic in pyproject.toml
    bill.write_text(json.dumps(content, indent=2), "utf-8")


@nox.session
def docs(session: nox.Session) -> None:
    """Run every block of the documents, as `tests` does among all else."""
    session.install(*CHECKOUT, *_group("tests"))
    session.run("python", "-m", "pytest", "tests/test_readme.py", *session.posargs)


@nox.session
def site(session: nox.Session) -> None:
    """Build the site into build/site, without a network; a warning, such as a reference to nothing, is an error."""
    session.install(*CHECKOUT, *_group("site"))
    session.run("sphinx-build", "-W", "-n", "--keep-going", "-E", "docs", "build/site", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Meet every fault of a network over real sockets, and again behind a real nginx, where there is one."""
    session.install(*CHECKOUT, *_group("faults"))
    session.run("python", "-m", "pytest", "tests/faults", *ON_ALL_CORES, *session.posargs)


@nox.session
def fleet(session: nox.Session) -> None:
    """Kill, freeze and cut off the workers of a fleet on a real PostgreSQL, where there is one."""
    session.install(*CHECKOUT, *_group("faults"))
    session.run("python", "-m", "pytest", "tests/fleet/processes", *session.posargs)


@nox.session(python=INTERPRETERS[0])  # on which DBOS takes an older SQLite, too
def engines(session: nox.Session) -> None:
    """Follow sessions with durable engines and task queues, and kill workers; with Restate where its server is."""
    session.install(*CHECKOUT, *_group("engines"))
    session.run("python", "-m", "pytest", "tests/engines", *session.posargs)


@nox.session
def simulate(session: nox.Session) -> None:
    """Live thousands of lives in virtual time: `nox -s simulate -- --start 0 --count 5000`, or one: `-- --seed 7`."""
    session.install(*CHECKOUT, *_group("tests"))
    session.run("python", "-m", "simulation", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session
def browser(session: nox.Session) -> None:
    """Click through the pages of the simulator and the shops in a real Chromium: skipped without it, but for CI."""
    session.install(*CHECKOUT, *_group("browser"))
    session.run("python", "-m", "pytest", "tests/browser", *session.posargs)


@nox.session
def schemathesis(session: nox.Session) -> None:
    """Hold the simulator against its own OpenAPI description: the same requests each time, a few minutes of them."""
    session.install(*CHECKOUT, *_group("schemathesis"))
    session.run("python", "tests/contract/run.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks; `nox -s bench -- --quick` only sees that they run."""
    session.install(*CHECKOUT, *_group("bench"))
    for module in ("benchmarks", "benchmarks.schedule", "benchmarks.watch", "benchmarks.promises", "benchmarks.budget"):
        session.run("python", "-m", module, *session.posargs)
