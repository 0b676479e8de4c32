"""The help, shell completion, and what is said without the extras."""

from __future__ import annotations

import re
import sys
from typing import Final

import attrs
import pytest
from support.commands import ERROR, OUTCOME, TRANSITION, run

from hpp_async import (
    __version__,
)
from hpp_async.cli import main
from hpp_async.cli._exits import EXITS


def test_the_help_lists_the_exit_codes_in_order_and_the_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert run("wait", "--help") == 0

    words = " ".join(capsys.readouterr().out.split())
    codes = sorted((row.code, row.meaning) for row in EXITS)
    assert " ".join(f"{code} {meaning}" for code, meaning in codes) in words
    assert ", ".join(TRANSITION[1:]) in words
    assert ", ".join(ERROR[1:]) in words
    assert all(key in words for key in OUTCOME)


COMMANDS: Final = [
    [],
    *([name] for name in ("read", "wait", "create", "disable", "watch", "listen", "demo", "simulate", "act", "fleet")),
    ["fleet", "status"],
    ["fleet", "retry"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_help_page_shows_flags_as_flags_and_breaks_no_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(*command, "--help") == 0
    narrow = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "120")
    assert run(*command, "--help") == 0
    wide = capsys.readouterr().out

    indented = [line.rstrip() for line in wide.splitlines() if line.startswith("   ")]
    assert [line for line in indented if line not in [each.rstrip() for each in narrow.splitlines()]] == []
    flags = [line for line in wide.splitlines() if re.search(r"--(json|help|final|open|verbose)\b", line)]
    assert [line for line in flags if re.search(r"<\w+>|BOOL|INTEGER", line)] == []


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"hpp-async {__version__}\n"


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("hpp-async wa", ["wait", "watch"]),
        ("hpp-async fleet s", ["status"]),
        ("hpp-async wait --en", ["--endpoint"]),
        ("hpp-async wait --endpoint EU", ["EU_LIVE", "EU_PLAYGROUND"]),
        ("hpp-async demo --consumer d", ["decline-and-retry"]),
        ("hpp-async listen --f", ["--forward-to"]),
        ("hpp-async listen --endpoint NA", ["NA_LIVE", "NA_PLAYGROUND"]),
        ("hpp-async act 1 opens pa", ["pays"]),
        ("hpp-async act 1 --visitor de", ["decline-and-retry"]),
        ("hpp-async create --s", ["--success", "--status-update"]),
        ("hpp-async create --place-order-mode C", ["CAPTURE_ORDER"]),
    ],
)
def test_a_shell_completes_commands_options_and_their_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, completed: list[str]
) -> None:
    for name, value in {"": "complete_bash", "WORDS": typed, "CWORD": str(typed.count(" "))}.items():
        monkeypatch.setenv(f"COMP_{name}" if name else "_HPP_ASYNC_COMPLETE", value)

    assert run() == 0
    assert [word for word in capsys.readouterr().out.splitlines() if word] == completed


def test_the_completion_script_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("_HPP_ASYNC_COMPLETE", "source_zsh")

    assert run() == 0
    assert "compdef _hpp_async_completion hpp-async" in capsys.readouterr().out


@attrs.frozen
class Missing:
    """An import hook that finds a package not installed."""

    package: str

    def find_spec(self, name: str, *_: object) -> None:
        if name == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def uninstall(package: str, importers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let *package* not be found by the modules whose names begin with one of *importers*."""
    for name in [name for name in sys.modules if name.startswith((package, *importers))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Missing(package), *sys.meta_path])


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    uninstall(missing, ("hpp_async.cli._",), monkeypatch)

    with pytest.raises(SystemExit, match=r"^hpp-async: .*: install hpp-async with the extra 'cli'$"):
        main(["--version"])


@pytest.mark.parametrize("command", ["demo", "simulate"])
@pytest.mark.parametrize("missing", ["jinja2", "segno", "starlette", "uvicorn"])
def test_without_the_simulators_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, missing: str
) -> None:
    uninstall(missing, ("hpp_async.cli._demo", "hpp_async.simulator"), monkeypatch)

    assert run(command) == 1
    assert capsys.readouterr().err.endswith("install hpp-async with the extra 'simulator'\n")


def test_without_psycopg_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uninstall("psycopg", ("hpp_async.fleet._postgres", "hpp_async.fleet._locks"), monkeypatch)

    assert run("fleet", "status", "--database", "postgresql://shop@db.example/shop") == 1
    assert capsys.readouterr().err.endswith("install hpp-async with the extra 'postgres'\n")


def test_other_missing_modules_are_not_taken_for_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    uninstall("hpp_async.cli._demo", (), monkeypatch)
    with pytest.raises(ModuleNotFoundError):
        main(["demo"])

    uninstall("hpp_async.cli._app", (), monkeypatch)
    with pytest.raises(ModuleNotFoundError):
        main(["demo"])
