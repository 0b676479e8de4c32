"""
A small provider on loopback, for trying things out over real HTTP (extra ``simulator``).

::

    provider = Provider(now=lambda: datetime.now(UTC), auth=("PK00000_test", "not-a-secret"))
    with serve(provider) as url:
        client = HPPClient(auth=provider.auth, endpoint=url)

The provider, `hpp_async.testing.Provider`, has the sessions; sessions created over HTTP are visited by its consumer.
"""

from hpp_async.simulator._app import application
from hpp_async.simulator._server import serve

__all__ = ["application", "serve"]
