"""
A provider on loopback, for trying things out over real HTTP (extra ``simulator``).

::

    provider = Provider(now=Calendar(), auth=("PK00000_test", "not-a-secret"))
    with serve(provider) as url:
        client = HPPClient(auth=provider.auth, endpoint=url)

The provider, `hpp_async.testing.Provider`, has the sessions, their consumers and the faults; sessions created over HTTP
are visited by its consumer. There are pages for people: the payment page at each session's ``redirect_url``, and the
overview at ``/simulator``. It describes itself at ``/openapi.json``, and is controlled under ``/simulator``:

==================================  ==================================================================================
``GET  sessions``                   all sessions with their timelines; ``sessions/{id}`` one of them
``POST sessions/{id}/acts``         ``{"act": "pays"}`` now, or ``{"acts": [{"opens": 5}, "pays"]}``, or
                                    ``{"visitor": "decline-and-retry"}``, from now on
``GET  faults``                     the faults with their keys, and how many requests they met
``POST faults``                     one more: ``{"kind": "throttled", "seconds": 5, "share": 0.2, "until": 60}``
``DELETE faults``, ``faults/{key}`` all or one are over
``GET  time``                       what time it is, and how fast it passes
``POST time``                       ``{"pace": 60}``, ``{"advance": 3600}``, ``{"jump_to": "2026-01-15T12:00:00Z"}``,
                                    ``{"jump_to_expiry_of": "…"}``
==================================  ==================================================================================

What is refused comes as ``{"error": …}`` with 400, 404 or, for a session that is over, 409. 403 is for what another web
site's page sends, and for requests to a host that is neither loopback nor what `serve` was told. Faults pass in real
time, whatever the pace.
"""

from hpp_async.simulator._app import application, openapi
from hpp_async.simulator._calendar import Calendar
from hpp_async.simulator._server import serve

__all__ = ["Calendar", "application", "openapi", "serve"]
