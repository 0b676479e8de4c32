"""The settings of a wait: which statuses it can stop on."""

from __future__ import annotations

from typing import Any

import pytest

from hpp_async import OUTCOME, ConfigurationError, SessionStatus, UnknownStatus
from hpp_async._core.settings import statuses


def test_statuses_are_named_by_themselves_or_by_their_text() -> None:
    assert statuses(["FAILED", SessionStatus.BACK, UnknownStatus("SETTLED")]) == {"FAILED", "BACK", "SETTLED"}
    assert statuses([str(status) for status in OUTCOME]) is OUTCOME


@pytest.mark.parametrize(
    ("stop_on", "says"),
    [
        ({"COMPLETE"}, r"'COMPLETE' is no status that this version knows: did you mean COMPLETED\?"),
        ({"cancelled"}, r"'cancelled' .* did you mean CANCELLED\?"),
        ({"PENDING_REVIEW"}, "'PENDING_REVIEW' is no status .* give an UnknownStatus"),
        ("COMPLETED", "give a set of statuses"),
        ({1}, "give a set of statuses"),
        (1, "give a set of statuses"),
    ],
)
def test_what_a_wait_would_never_stop_on_is_refused(stop_on: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"stop_on.*{says}"):
        statuses(stop_on)
