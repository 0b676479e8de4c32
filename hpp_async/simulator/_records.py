"""Sessions, faults and time as the simulator's pages and its control API show them."""

from __future__ import annotations

from datetime import datetime, timedelta

from hpp_async._provider.life import date
from hpp_async._provider.plain import write_fault
from hpp_async._provider.requests import page_path
from hpp_async.simulator._calendar import Calendar
from hpp_async.testing import Life, Provider


def session_record(provider: Provider, life: Life, moment: datetime) -> dict[str, object]:
    """Return the session without its secrets: what a read shows, and the past and planned timeline."""
    passed = life.passed(moment)
    return {
        "session_id": life.session_id,
        "status": str(life.status(moment)),
        "updated_at": date(life.updated_at(moment)),
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
    """Return the faults, each with its key and the number of requests that it has affected."""
    return [
        {"key": key, "affected": provider.faults.affected(key), **write_fault(fault)}
        for key, fault in provider.faults.all.items()
    ]


def time_record(provider: Provider) -> dict[str, object]:
    """Return the time, and the pace at which it passes; ``None`` if it cannot be moved."""
    pace = provider.now.pace if isinstance(provider.now, Calendar) else None
    return {"now": date(provider.now()), "pace": pace}
