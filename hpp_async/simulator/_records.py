"""Sessions, faults and time as the simulator's own pages and its control API show them."""

from __future__ import annotations

from datetime import datetime, timedelta

from hpp_async._provider.life import date
from hpp_async._provider.notation import write_trouble
from hpp_async._provider.resource import page_path
from hpp_async.simulator._calendar import Calendar
from hpp_async.testing import Life, Provider


def session_record(provider: Provider, life: Life, moment: datetime) -> dict[str, object]:
    """Return all about a session: what a read shows but for secrets, and its timeline, past and planned."""
    passed = life.passed(moment)
    reading = life.reading(moment)
    return {
        "session_id": life.session_id,
        "status": reading["status"],
        "updated_at": reading["updated_at"],
        "created_at": date(life.created_at),
        "expires_at": date(life.expiry(moment)),
        "is_over": life.is_over(moment),
        "place_order_mode": life.place_order_mode,
        "redirect_url": f"{provider.base_url}{page_path(life.session_id)}",
        "distributions": list(life.distributions),
        "timeline": [
            {
                "at": date(life.created_at + timedelta(seconds=step.after)),
                "status": step.status,
                "is_past": number < len(passed),
            }
            for number, step in enumerate(life.steps)
        ],
    }


def fault_records(provider: Provider) -> list[dict[str, object]]:
    """Return the troubles there are, each with its key and how many requests have met it."""
    return [
        {"key": key, "met": provider.troubles.count(key), **write_trouble(trouble)}
        for key, trouble in provider.troubles.all.items()
    ]


def time_record(provider: Provider) -> dict[str, object]:
    """Return what time it is, and how fast it passes."""
    pace = provider.now.pace if isinstance(provider.now, Calendar) else None
    return {"now": date(provider.now()), "pace": pace}
