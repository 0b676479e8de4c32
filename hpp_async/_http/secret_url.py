"""A URL that has a token in it, and is shown in no log: neither in ours nor in httpx's."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit


class SecretURL:
    """A URL whose ``repr`` shows its host alone. As text it is the whole URL."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<URL at {urlsplit(self._text).hostname}>"


class Concealed:
    """
    What httpx's or httpx2's URL is beside a URL if it was made of a `SecretURL`: shown by its host alone.

    As text it is the whole URL: transports send that. An ``AsyncClient``, such as a lent one, logs the URL of every
    request that goes through it, and this class keeps the URL out of that log.
    """

    host: str

    def __repr__(self) -> str:
        return f"<URL at {self.host}>"


class Redaction(logging.Filter):
    """Lets every record pass, without the secret URLs in it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(repr(value) if isinstance(value, Concealed) else value for value in record.args)
        return True
