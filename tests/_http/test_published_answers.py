"""The provider's own published answers, over real sockets; extra, where ../shared is present."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from support.servers import serve, wire

from hpp_async import Completed, HPPClient
from hpp_async.cli import main
from hpp_async.testing import Answer

BODIES = Path(__file__).parents[3] / "shared" / "data" / "bodies"

pytestmark = pytest.mark.skipif(not BODIES.is_dir(), reason="the published answers are not part of the repository")


def published(name: str, date: str) -> bytes:
    specimen = json.loads((BODIES / f"{name}.json").read_text())
    headers = specimen["headers"] | {"Date": date}
    return wire(Answer(status_code=specimen["http_status"], headers=headers, body=specimen["body"].encode()))


@pytest.mark.anyio
@pytest.mark.parametrize("completed", ["session-completed-token.docs", "session-completed-order.docs"])
async def test_the_read_pages_happy_flow_is_followed_to_its_end(completed: str) -> None:
    answers = [
        published("session-waiting.docs", "Mon, 13 May 2019 14:51:50 GMT"),
        published("error-503-envoy-text", "Mon, 13 May 2019 14:52:00 GMT"),
        published("session-in_progress.docs", "Mon, 13 May 2019 14:53:00 GMT"),
        published(completed, "Mon, 13 May 2019 14:54:05 GMT"),
    ]

    async def handle(head: bytes, _: object) -> bytes:
        return answers.pop(0)

    async with serve(handle) as url, HPPClient(auth=("PK12345_abc", "secret"), endpoint=url) as client:
        wait = client.wait_for_outcome(f"{url}/hpp/v1/sessions/39a1c773-bafd-754d-af1f-b30c592f1267")
        seen = []
        async for transition in wait:
            seen.append(str(transition.status))
            client.notify(wait.session_id)  # as a callback would, so that no delay is slept through

    assert seen == ["WAITING", "IN_PROGRESS", "COMPLETED"]
    assert isinstance(wait.outcome, Completed)
    assert not wait.outcome.needs_attention


def test_the_command_line_follows_them_to_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [
        published("session-waiting.docs", "Mon, 13 May 2019 14:51:50 GMT"),
        published("session-in_progress.docs", "Mon, 13 May 2019 14:53:00 GMT"),
        published("session-completed-order.docs", "Mon, 13 May 2019 14:54:05 GMT"),
    ]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(answers.pop(0))

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class calls it so
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HPP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("HPP_API_KEY", "klarna_test_api_x")
        with pytest.raises(SystemExit) as ended:
            main(["wait", "39a1c773-bafd-754d-af1f-b30c592f1267", "--json", "--every", "0.1"])
        server.shutdown()

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["status"] for line in lines] == ["WAITING", "IN_PROGRESS", "COMPLETED", "COMPLETED"]
    assert (lines[-1]["outcome"], lines[-1]["klarna_reference"], ended.value.code) == ("Completed", "X438HG0Q", 0)
