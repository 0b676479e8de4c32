"""The help texts, and the example that ``simulate`` prints."""

from __future__ import annotations

import textwrap
from typing import Final

import attrs

from hpp_async import ConfigurationError, HPPError, SessionNotFoundError
from hpp_async._provider.callbacks import PATIENCE
from hpp_async._provider.faults import FAULT_KINDS, Fault
from hpp_async._provider.scripts import ACTS
from hpp_async.cli._exits import ALREADY_PAID, EXITS, UNEXPECTED, exit_code
from hpp_async.cli._forwarding import MARK, PAUSES
from hpp_async.testing import Consumer

_EXITS: Final = "\n".join(f"  {row.code:>3}  {row.meaning}" for row in sorted(EXITS, key=lambda row: row.code))
_CONSUMERS: Final = "Consumers\n" + "\n".join(
    textwrap.fill(f"  {consumer:<18} {consumer.story}", 78, subsequent_indent=21 * " ") for consumer in Consumer
)
_ACTS: Final = textwrap.indent(textwrap.fill(", ".join(ACTS), 70) + '\n{ becomes = "STATUS", after = 5 }', "  ")
_ACTS_NOW: Final = textwrap.indent(textwrap.fill(", ".join(ACTS), 70), "  ")
_UNKNOWN: Final = SessionNotFoundError("", session_id=None, status_code=404)
_WHOM: Final = ", ".join(field.name for field in attrs.fields(Fault) if field.name != "kind")
_FAULTS: Final = "\n".join(
    f"  {name:<10} {', '.join(field.name for field in attrs.fields(kind))}".rstrip()
    for name, kind in FAULT_KINDS.items()
)

_FLEET_EXITS: Final = (
    f"The exit code is 0 if {{done}}; {UNEXPECTED} if a package is missing; {exit_code(ConfigurationError())} if the "
    f"database is refused or has no fleet; {exit_code(HPPError())} if it cannot be reached."
)

ABOUT: Final = """\
Create and read Klarna Hosted Payment Page sessions, and wait for their outcome.

The credentials are in the environment: HPP_USERNAME and HPP_PASSWORD, or HPP_API_KEY. The endpoint is in \
HPP_ENDPOINT: EU_PLAYGROUND, EU_LIVE, NA_LIVE …, or a base URL."""

READ: Final = """\
Read a session once.

The exit code is 0 for every reading, whatever its status, and also after the session's expiry, which a line on stderr \
says. The other exit codes are those of wait."""

WAIT: Final = f"""\
Wait until a session has an outcome.

On a terminal, a live line shows the state of the wait; otherwise each change of status is printed as a line. Ctrl-C \
or SIGTERM ends the wait, not the session, and prints the command that continues it.

Exit codes
{_EXITS}

With --json every line of output is an object with a type. The last one is an outcome or an error, unless the wait was \
refused or interrupted.
  transition  session_id, previous, status, updated_at, expires_at,
              sequence, is_last, token
  outcome     outcome, is_final, needs_attention, confirmed, session_id,
              status, updated_at, expires_at, order_id, klarna_reference,
              has_authorization_token, authorization_token (--show-token),
              correlation_id, reads, token
  error       error, message, session_id, status, correlation_id, reads,
              token
The field token is for --since and is not a secret. authorization_token is a secret."""

DISABLE: Final = f"""\
Disable a session, so that nobody can pay it any more.

The exit code is 0 if nobody can pay the session any more, and {ALREADY_PAID} if it was completed before. An outcome \
for which the provider refuses is printed as wait prints it. The other exit codes are those of wait; after \
{exit_code(HPPError())} the session may be disabled all the same.

With --json the line is an outcome, or
  disabled    session_id"""

CREATE: Final = """\
Create a session of the payment page.

The cart is in FILE, in TOML, or in JSON if its name ends in .json; the names are those of the Payments API. Or \
options say a cart with one line: --country SE --currency SEK --name Mug --price 1999. The options for the shop's URLs \
and for the page go with both, and before what FILE says.

  purchase_country = "SE"
  purchase_currency = "SEK"
  locale = "sv-SE"

  [\\[order_lines]]
  name = "Mug"
  quantity = 2
  unit_price = 1999            # of one, with its tax: 19.99
  tax_rate = 2500              # 25 %

  \\[page]                       # merchant_urls, options, profile_id
  merchant_urls = { success = "https://shop.example/paid" }
  options = { place_order_mode = "PLACE_ORDER" }

Whoever has the redirect_url that is printed can open the page. Sums are computed, or checked where they are given. \
The exit code is 0 if the session was created; the others are those of wait.

With --json the line is an object
  created     session_id, session_url, redirect_url, qr_code_url,
              distribution_url, manual_identification_check_url,
              expires_at, correlation_id"""

WATCH: Final = """\
Wait until each of many sessions has an outcome.

Standard input names the sessions: each line has a session id, a session_url, or the token of an earlier event. Lines \
may come at any time; when standard input has ended, the watch ends with the last session. Each event is printed as a \
line of JSON, with its token: store it once you have dealt with the event. Ctrl-C or SIGTERM ends the watch, not the \
sessions, and prints the command that continues it.

The exit code is 0 if every session has an outcome, whatever it is. Otherwise it is that of the first error, as wait \
has it. A line that names no session is such an error, and the watch goes on.

Every line of output is an object
  session_id
  token       for the next watch, or for wait --since; not a secret
  is_last     whether this is the last event of the session
  news        what happened: an object with the type transition, outcome or
              error; without authorization tokens, which read --show-token
              prints"""

LISTEN: Final = f"""\
Post the status callbacks of sessions to a URL of yours.

The provider cannot call a laptop. This command watches sessions at the endpoint, such as the playground, and posts \
each change of status as the provider would, a little later, and with the header {MARK}: 1. A change that is not \
answered with 2xx within {PATIENCE.seconds} seconds is posted again, up to {len(PAUSES)} times. The body is what a \
read shows, with the authorization token. Your credentials are not sent.

  hpp-async listen --forward-to http://127.0.0.1:8000/klarna/SECRET SESSION

Without SESSION, standard input names the sessions, as for watch. The command ends when every session has a final \
status or has expired. Ctrl-C or SIGTERM prints the command that continues it; with it, nothing is left out that was \
not posted.

The exit code is 0 if all sessions have ended and all changes are posted. Otherwise it is that of the first error, as \
wait has it; {exit_code(HPPError())} if a change could not be posted.

With --json every line of output is an object
  session_id
  token       for the next listen: what is not posted yet comes again
  is_last     whether this is the last line of the session
  news        what happened: an object with the type transition, post,
              outcome or error. A post has event_id, call, answer,
              seconds, is_success and again_in"""

DEMO: Final = f"""\
Watch a wait on a simulated provider.

The provider runs on this machine, and a scripted consumer visits the session. Nothing leaves the machine, and no \
credentials are needed. Exit codes and JSON are those of wait.

{_CONSUMERS}"""

SIMULATE: Final = f"""\
Run a simulated provider on this machine, until Ctrl-C or SIGTERM.

The consumer visits every session that is created over HTTP. Status callbacks are posted to \
merchant_urls.status_update only if that is on this machine. -v logs every request and every callback.

The pages for people are the overview at /simulator and the payment page at a session's redirect_url; with --consumer \
nobody you pay there yourself. Programs control sessions, faults and time under /simulator. The provider's OpenAPI \
description is at /openapi.json.

{_CONSUMERS}

With --scenario the consumers, sessions and faults come from a file:

  visitor = "hesitant"         # who visits the sessions that are created
  seed = 7                     # decides which requests the faults affect

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

Acts: "pays", or {{ pays = 30 }} for 30 s after the act before it
{_ACTS}

Kinds of faults, each with its own keys
{_FAULTS}

Keys that every fault can have
  {_WHOM}"""

ACT: Final = f"""\
Act as the consumer of a simulated provider.

The endpoint is that of hpp-async simulate. The acts happen now, one after the other, and then what the options say:

  hpp-async act SESSION opens declines
  hpp-async act SESSION retries pays
  hpp-async act SESSION --visitor cancel
  hpp-async act SESSION --to-expiry
  hpp-async act --advance 3600           # what follows needs no session
  hpp-async act --fault '{{"kind": "throttled", "seconds": 5}}'
  hpp-async act --reset
  hpp-async act --journal

Acts
{_ACTS_NOW}

No credentials are needed. The exit code is 0 if all of it happened; {exit_code(_UNKNOWN)} if the session is unknown; \
{exit_code(ConfigurationError())} if an argument is refused; {exit_code(HPPError())} if there is no simulated \
provider, or if nothing can happen to the session because it is over. The acts before a refused one have happened.

With --json the line is an object
  acted       session_id, status, updated_at, expires_at, is_over, now,
              pace; the first five are null without a SESSION
or, with --journal, each line is an object
  entry       number, at, kind, session_id …, as the control API has them"""

FLEET: Final = """\
Look at a fleet: several processes that follow the sessions of one merchant.

The database is in the environment, DATABASE_URL: a PostgreSQL URL, or a SQLite file. No credentials of the provider \
are needed, and nothing is sent to it."""

STATUS: Final = f"""\
Show the workers of a fleet, how late they are, and the sessions that wait for a person.

What the words mean
  late by       for how long the next read has been due, at most a second
                ago: the budget is short or paused, or deal_with is slow
  not read yet  followed, and without a first reading
  failing       deal_with raised an error: their news comes again
  parked        deal_with failed ten times: see hpp-async fleet retry

{_FLEET_EXITS.format(done="the fleet is shown, whatever its state")}

With --json the line is an object with the type fleet, and three lists; what is not known is null
  workers     owner, name, late_by
  shards      number, owner, sessions, unread, unread_for, failing, parked
  parked      session_id, shard, status, parked_ago, failures, error,
              raised_at, added_ago
Ages and lateness are in seconds."""

RETRY: Final = f"""\
Let parked sessions be followed again, from where they were: their news comes again.

All parked sessions at once, once you have mended what deal_with failed at:

  hpp-async fleet status --json | jq -r '.parked[].session_id' |
    xargs -r hpp-async fleet retry

{_FLEET_EXITS.format(done="all of them are followed again")} {exit_code(_UNKNOWN)} if one of them is not parked, and \
then nothing was changed."""

EXPOSED: Final = """\
warning: every machine that reaches this port can read and control the simulated provider, without credentials. In a \
container, publish the port on loopback: docker run -p 127.0.0.1:8888:8888"""

EXAMPLE: Final = """\
Simulated provider: {url} (Ctrl-C ends it)
Overview page:      {url}/simulator
Consumer:           {story}

Try it in another terminal:

  export HPP_ENDPOINT={url} HPP_USERNAME={username} HPP_PASSWORD={password}
  session=$(curl -s --noproxy '*' -u "$HPP_USERNAME:$HPP_PASSWORD" "$HPP_ENDPOINT/hpp/v1/sessions" \\
    -H 'Content-Type: application/json' \\
    -d '{{"payment_session_url": "{url}/payments/v1/sessions/1"}}' |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["session_url"])')
  hpp-async wait "$session"
  curl -s --noproxy '*' {url}/simulator/sessions
"""
