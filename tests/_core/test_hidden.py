"""The wrapper that hides a value from whatever copies fields."""

from __future__ import annotations

from hpp_async._core.hidden import Hidden


def test_a_hidden_value_equals_only_the_same_value_hidden() -> None:
    assert Hidden("token") == Hidden("token")
    assert Hidden("token") != Hidden("other")
    assert Hidden("token") != "token"
