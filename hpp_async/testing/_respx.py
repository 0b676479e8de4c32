"""The scripted provider behind respx, for code that makes its own httpx clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpp_async.testing._transport import ScriptedProvider

if TYPE_CHECKING:
    import respx


def mock_provider(router: respx.Router, provider: ScriptedProvider) -> respx.Route:
    """
    Let *provider* answer what is sent to its endpoint through respx's *router*, and return the route.

    *router* is the fixture ``respx_mock``, ``respx.mock``, or one of your own, with a ``base_url`` or without. Clients
    need the provider's ``auth``, and its ``clock`` where time is to pass without waiting for it. Asynchronous httpx
    clients only.
    """
    return router.route(url__startswith=f"{provider.endpoint}/hpp/").mock(side_effect=provider.handle_async_request)
