"""What the help says, and the example that `simulate` gives."""

from __future__ import annotations

import textwrap
from typing import Final

import attrs

from hpp_async._provider.consumers import ACTS
from hpp_async._provider.faults import FAULTS, Trouble
from hpp_async.cli._exits import EXITS
from hpp_async.testing import Consumer

_EXITS: Final = "\n".join(f"  {row.code:>3}  {row.meaning}" for row in EXITS)
_CONSUMERS: Final = "Consumers\n" + "\n".join(f"  {consumer:<18} {consumer.story}" for consumer in Consumer)
_ACTS: Final = textwrap.indent(textwrap.fill(", ".join([*ACTS, '{ becomes = "STATUS", after = 5 }']), 70), "  ")
_WHEN: Final = ", ".join(field.name for field in attrs.fields(Trouble) if field.name != "fault")
_FAULTS: Final = "\n".join(
    f"  {kind:<10} {', '.join(field.name for field in attrs.fields(fault))}".rstrip() for kind, fault in FAULTS.items()
)

ABOUT: Final = """\
Read Klarna Hosted Payment Page sessions, and wait for their outcome.

Credentials come from the environment: HPP_USERNAME and HPP_PASSWORD, or HPP_API_KEY. So does the endpoint: \
HPP_ENDPOINT is EU_PLAYGROUND, EU_LIVE, NA_LIVE …, or a base URL."""

READ: Final = """\
Read a session once.

The exit code is 0 for any reading, whatever its status; the others are those of wait."""

WAIT: Final = f"""\
Wait until a session has an outcome.

On a terminal a line says how things stand; elsewhere there is a line for each change. Ctrl-C ends the wait, not the \
session, and says how to go on.

Exit codes
{_EXITS}

With --json every line of output is an object with a type. Unless the wait was refused or interrupted, the last one \
is an outcome or an error.
  transition  session_id, previous, status, updated_at, expires_at,
              sequence, is_last, token
  outcome     outcome, is_final, needs_attention, confirmed, session_id,
              status, updated_at, expires_at, order_id, klarna_reference,
              has_authorization_token, authorization_token (--show-token),
              correlation_id, reads, token
  error       error, message, session_id, status, correlation_id, reads,
              token
The token is for --since, and no secret; the authorization token is one."""

DEMO: Final = f"""\
Watch a wait: a simulated provider on this machine, and a scripted consumer.

Nothing leaves the machine, and no credentials are needed. Exit codes and JSON are those of wait.

{_CONSUMERS}"""

SIMULATE: Final = f"""\
Run a simulated provider on this machine, until Ctrl-C.

Sessions that are created over HTTP are visited by the consumer. -v logs every request, and every status callback: \
they are posted to merchant_urls.status_update where that is on this machine, and nowhere else.

It describes itself at /openapi.json, and is controlled at /simulator: sessions, faults, time. Both there and at a \
session's redirect_url are pages for people; with --consumer nobody it is you who pays.

{_CONSUMERS}

With --scenario they come from a file, and so do sessions and faults:

  visitor = "hesitant"         # who visits sessions that are created
  seed = 7                     # of the faults

  [\\[consumer]]
  name = "hesitant"
  acts = [{{ opens = 5 }}, {{ declines = 20 }}, "retries", {{ pays = 30 }}]

  [\\[fault]]
  kind = "throttled"
  seconds = 5
  share = 0.2
  until = 60

  [\\[session]]
  id = "one-that-expires"
  acts = ["opens", "vanishes"]
  lifetime = 120

Acts, each with the seconds since the one before
{_ACTS}

Faults, each with keys of its own
{_FAULTS}
  and all with {_WHEN}"""

EXAMPLE: Final = """\
Simulated provider: {url} (Ctrl-C ends it)
Overview page:      {url}/simulator
Scripted consumer:  {story}

Try it in another terminal:

  export HPP_ENDPOINT={url} HPP_USERNAME={username} HPP_PASSWORD={password}
  session=$(curl -s -u "$HPP_USERNAME:$HPP_PASSWORD" "$HPP_ENDPOINT/hpp/v1/sessions" \\
    -H 'Content-Type: application/json' \\
    -d '{{"payment_session_url": "{url}/payments/v1/sessions/1"}}' |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["session_url"])')
  hpp-async wait "$session"
  curl -s {url}/simulator/sessions
"""
