"""
A simulated provider on this machine, over real HTTP (extra ``simulator``).

::

    provider = Provider(now=Calendar(), auth=("PK00000_test", "not-a-secret"))
    with serve(provider) as url:
        client = HPPClient(auth=provider.auth, endpoint=url)

The provider, `hpp_async.testing.Provider`, holds the sessions, their consumers and the faults. Its consumer visits the
sessions that are created over HTTP. There are pages for people: the payment page at each session's ``redirect_url``,
and the overview at ``/simulator``. Under ``/simulator`` is the control API, too. ``/openapi.json`` describes it and the
provider:

==================================  ==================================================================================
``GET  sessions``                   all sessions with their timelines; ``sessions/{id}`` one of them
``POST sessions/{id}/acts``         ``{"act": "pays"}`` happens now; ``{"acts": [{"opens": 5}, "pays"]}`` or
                                    ``{"visitor": "decline-and-retry"}`` begin now
``GET  faults``                     the faults with their keys, and the number of requests that each has affected
``POST faults``                     add a fault: ``{"kind": "throttled", "seconds": 5, "share": 0.2, "until": 60}``
``DELETE faults``, ``faults/{key}`` end all faults, or one
``GET  time``                       the time, and the pace at which it passes
``GET  journal``                    the last requests of merchants and callbacks to them, oldest first
``POST reset``                      forget everything but the time, and begin anew
``GET  health``                     ``{"status": "ok"}``
``POST time``                       ``{"pace": 60}``, ``{"advance": 3600}``, ``{"jump_to": "2026-01-15T12:00:00Z"}``,
                                    ``{"jump_to_expiry_of": "…"}``, 6 seconds past it: a wait then ends soon
==================================  ==================================================================================

A refusal is ``{"error": …}`` with 400, 404, 405 or, for a session to which nothing can happen any more, 409. 403
refuses requests from another web site's page, and requests whose ``Host`` is neither loopback nor the host that `serve`
was given. The delays of faults pass in real time, whatever the pace.
"""

from hpp_async._extras import with_extra

try:
    from hpp_async.simulator._app import application, openapi
    from hpp_async.simulator._calendar import Calendar
    from hpp_async.simulator._refusals import is_on_all_addresses
    from hpp_async.simulator._server import serve
except ModuleNotFoundError as _error:
    if (_error.name or "").startswith("hpp_async"):
        raise
    raise ModuleNotFoundError(
        f"hpp_async.simulator needs {_error.name}, which is not installed: {with_extra('simulator')}", name=_error.name
    ) from _error

__all__ = ["Calendar", "application", "is_on_all_addresses", "openapi", "serve"]
