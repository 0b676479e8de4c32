"""The documents show what really happens: every fenced block is run, or is one of the known set-up commands."""

import asyncio
import re
import runpy
from collections.abc import Generator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import attrs
import httpx
import pytest
import respx
from support.sittings import Sitting

from hpp_async import ConfigurationError
from hpp_async.testing import Answered, ScriptedProvider, VirtualClock, mock_provider

ROOT: Final = Path(__file__).parents[1]
DOCUMENTS: Final = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]

# Not run here. The `package` session of nox does what the first one does, and CI runs that with nox as it is.
SET_UP: Final = {
    "python3 -m venv .venv && .venv/bin/pip install -q '.[cli,simulator]' && .venv/bin/hpp-async demo\n",
    "python3 -m venv .venv && . .venv/bin/activate && pip install -q '/path/to/checkout[cli,simulator]'\n",
    "python3 -m venv .venv && . .venv/bin/activate && "
    "pip install -q '/path/to/checkout[cli,simulator]' fastapi uvicorn\n",
    "pip install '/path/to/checkout[testing]'\n",
    "pip install '/path/to/checkout[postgres]'\n",
    "python3 -m venv .venv && .venv/bin/pip install -q 'nox[uv]' && .venv/bin/nox\n",
    "python examples/worker.py shop.db & sleep 5  # the worker makes the tables\n"
    "sqlite3 shop.db \"INSERT INTO session (id) VALUES ('${session##*/}')\"\n",
}

FENCE: Final = re.compile(r"^ *(?:```|~~~)", re.MULTILINE)
BLOCK: Final = re.compile(
    # `fresh` begins another story; the other words are instructions for a Sitting.
    r"(?:<!-- (?:(fresh|file|left running|more of)(?:: | )?)([\w. ]*) -->\n+)?^```(\w*)\n(.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


PAID: Final = [(0, "COMPLETED", {"order_id": "ord-1"})]


@contextmanager
def world() -> Generator[ScriptedProvider]:
    """Run the provider that the documents assume, with one session that is paid."""
    provider = ScriptedProvider(VirtualClock(), auth=("PK12345_abc", "secret"))
    provider.add(PAID, session_id="your-session-id")
    with respx.mock(assert_all_called=False) as router, pytest.MonkeyPatch.context() as environment:
        environment.setenv("HPP_USERNAME", "PK12345_abc")
        environment.setenv("HPP_PASSWORD", "secret")
        environment.setenv("HPP_ENDPOINT", "EU_PLAYGROUND")
        mock_provider(router, provider)
        router.route(host="127.0.0.1").pass_through()  # requests to the simulator
        yield provider


@contextmanager
def namespace() -> Generator[dict[str, object]]:
    """Provide the provider that the Python blocks of one story run against, and the names that they start with."""
    with world():
        names: dict[str, object] = {"__name__": "__main__", "session_id": "your-session-id"}
        shop = ("ask_a_person", "book", "place_order", "release", "save")  # the functions of the shop
        names |= dict.fromkeys(shop, lambda *_, **__: None)
        yield names


@attrs.frozen(kw_only=True)
class Block:
    """One fenced block. Python blocks up to the next fresh one tell one story, in one namespace."""

    document: Path
    line: int
    story: int
    kind: str
    name: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"


def _blocks(document: Path) -> list[Block]:
    text = document.read_text("utf-8")
    found = list(BLOCK.finditer(text))
    return [
        Block(
            document=document,
            line=text.count("\n", 0, block.start(4)) + 1,
            story=sum(1 for earlier in found[: index + 1] if earlier[1] == "fresh"),
            kind=block[1] or "",
            name=block[2] or "",
            language=block[3],
            text=block[4],
        )
        for index, block in enumerate(found)
    ]


BLOCKS: Final = [block for document in DOCUMENTS for block in _blocks(document)]
SITTINGS: Final = [
    block for block in BLOCKS if block.language == "console" or block.kind in ("file", "left running", "more of")
]
PYTHON: Final = [block for block in BLOCKS if block.language == "python" and block not in SITTINGS]
ALONE: Final = [block for block in PYTHON if block.document.name in ("README.md", "index.md", "tutorial.md")]
"""Blocks that are whole programs: whoever copies one into a file can run the file."""
TOLD: Final = [block for block in PYTHON if block not in ALONE]
STORIES: Final = [list(story) for _, story in groupby(TOLD, key=lambda block: (block.document, block.story))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_block_is_run_or_known(document: Path) -> None:
    blocks = [block for block in BLOCKS if block.document == document]
    unknown = [block for block in blocks if block not in PYTHON + SITTINGS and block.text not in SET_UP]

    assert len(FENCE.findall(document.read_text("utf-8"))) == 2 * len(blocks), (
        "a fence of a kind that this test does not read"
    )
    assert [str(block) for block in unknown] == []


@pytest.mark.parametrize("block", ALONE, ids=str)
def test_a_block_runs_when_it_is_copied_into_a_file(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "copied.py"
    file.write_text(block.text, "utf-8")

    with world():
        runpy.run_path(str(file), run_name="__main__")


CREATE: Final = next(block for block in BLOCKS if block.name == "create.py")


def test_the_session_of_the_tutorial_is_created_at_the_playground_without_callbacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / CREATE.name
    file.write_text(CREATE.text, "utf-8")

    with world() as provider:
        runpy.run_path(str(file), run_name="__main__")
        [session_id] = [one for one in provider.model.sessions if one != "your-session-id"]

    session_url = f"https://api.playground.klarna.com/hpp/v1/sessions/{session_id}"
    assert capsys.readouterr().out.startswith(
        f"export SESSION={session_url} PAGE=https://api.playground.klarna.com/hpp/"
    )


def test_the_playground_cannot_call_a_shop_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / CREATE.name
    file.write_text(CREATE.text, "utf-8")
    monkeypatch.setenv("SHOP", "http://127.0.0.1:8000/klarna")

    with world() as provider, pytest.raises(ConfigurationError, match="which the provider cannot call: give https"):
        runpy.run_path(str(file), run_name="__main__")
    assert provider.requests == []


ENDINGS: Final = [
    (PAID, "paid"),
    ([(0, "COMPLETED")], "place the order"),
    ([(0, "COMPLETED", {"authorization_token": None})], "ask a person"),
    ([(0, "FAILED")], "open"),
    ([(0, "CANCELLED")], "released"),
    ([(0, "WAITING"), (60, "COMPLETED")], "ask a person"),  # in the outage
]


@pytest.mark.parametrize(("steps", "said"), ENDINGS, ids=[said for _, said in ENDINGS])
def test_what_the_readme_settles_is_what_happened(steps: list[Any], said: str) -> None:
    [block] = [block for block in ALONE if "async def settle" in block.text]
    names: dict[str, Any] = {}
    exec(block.text, names)  # the block only defines functions

    with world() as provider:
        session = provider.add(steps)
        provider.trouble(Answered(503), start=30)
        assert asyncio.run(names["settle"](provider.client(), session)) == said


@pytest.mark.parametrize("story", STORIES, ids=lambda story: str(story[0]))
def test_python_blocks_run(story: list[Block]) -> None:
    with namespace() as names:
        for block in story:
            lines_before = "\n" * (block.line - 1)  # so that a traceback points into the document
            exec(compile(lines_before + block.text, block.document, "exec", dont_inherit=True), names)


@pytest.mark.parametrize(("story", "last"), [([(0, "CANCELLED")], "outcome"), ([(60, "CANCELLED")], "interrupted")])
def test_the_stream_of_the_documents_ends_with_an_id_that_is_answered_with_204(
    story: list[tuple[float, str]], last: str
) -> None:
    [block] = [block for block in PYTHON if "fastapi.sse" in block.text]
    names: dict[str, Any] = {}
    exec(block.text, names)  # the block only defines functions

    async def answers(provider: ScriptedProvider) -> list[httpx.Response]:
        path = f"/sessions/{provider.add(story).rpartition('/')[2]}/events"
        transport = httpx.ASGITransport(names["app"], raise_app_exceptions=False)
        names["app"].state.hpp = provider.client()
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as browser:
            return [await browser.get(path, headers=headers) for headers in ({}, {"Last-Event-ID": "last"})]

    with world() as provider:
        provider.trouble(Answered(503), start=30)
        stream, after = asyncio.run(answers(provider))

    assert f"event: {last}\n" in stream.text
    assert stream.text.endswith("id: last\n\n")
    assert after.status_code == 204


@pytest.mark.parametrize("document", sorted({block.document for block in SITTINGS}), ids=lambda document: document.name)
def test_what_is_typed_prints_what_is_shown(document: Path, tmp_path: Path) -> None:
    with Sitting(tmp_path) as sitting:
        for block in SITTINGS:
            if block.document != document:
                continue
            match block.kind:
                case "file":
                    sitting.save(block.name, block.text)
                case "left running":
                    sitting.leave_running(block.name, block.text)
                case "more of":
                    sitting.go_on(block.name, block.text)
                case _:
                    sitting.enter(block.text)


def test_readme_can_be_read_in_minutes() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= 720
