"""What the client makes of an answer to a read: the test kit's recorder has it from here, and so cannot differ."""

from __future__ import annotations

from hpp_async._http.codec import json_object
from hpp_async._http.exchange import MAXIMUM_BODY, unpacked

__all__ = ["MAXIMUM_BODY", "json_object", "unpacked"]
