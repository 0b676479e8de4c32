"""A URL that has a token in it, and is shown in no log: neither in ours nor in httpx's."""

from __future__ import annotations

import logging

import httpx


class SecretURL(httpx.URL):
    """
    A URL whose ``repr`` shows its host alone.

    As text it is the whole URL: transports send that. httpx logs the URL of every request that goes through an
    `httpx.AsyncClient`, such as a lent one, and this class keeps it out of that log.
    """

    def __repr__(self) -> str:
        return f"<URL at {self.host}>"


class _Redaction(logging.Filter):
    """Lets every record pass, without the secret URLs in it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(repr(value) if isinstance(value, SecretURL) else value for value in record.args)
        return True


logging.getLogger("httpx").addFilter(_Redaction())
