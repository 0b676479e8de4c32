"""Values that no dump of attributes shows."""

from __future__ import annotations

from hpp_async._core.hidden import Hidden


def test_a_hidden_value_equals_the_same_one_hidden_and_nothing_else() -> None:
    assert Hidden("token") == Hidden("token")
    assert Hidden("token") != Hidden("other")
    assert Hidden("token") != "token"
