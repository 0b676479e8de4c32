"""
A test kit for code that waits for sessions; this library's own tests use it, too.

It has a virtual clock and a provider in memory: 47 hours pass in about a second, on asyncio and trio, without patching.
What consumers do and what goes wrong is data, with the same names in tests, in scenario files and over HTTP:

- a `Script` and its acts: ``Script(opens(after=5), declines(after=20), retries, pays(after=30))``;
- a `Fault` and its kind: ``Fault(Throttled(5), share=0.2, until=60)``.
"""

from hpp_async._provider.answers import Answer
from hpp_async._provider.callbacks import Callbacks, OrderNotification, StatusCallback
from hpp_async._provider.faults import (
    Answered,
    Cut,
    Dateless,
    Dropped,
    Fault,
    FaultKind,
    Foreign,
    Garbled,
    Missing,
    Refused,
    Scarce,
    Skewed,
    Slow,
    Stale,
    Stalled,
    Throttled,
    Undated,
)
from hpp_async._provider.injection import Faults, RequestFaults
from hpp_async._provider.life import Life, SessionOverError, Step
from hpp_async._provider.provider import Provider
from hpp_async._provider.scenario import Planned, Scenario
from hpp_async._provider.scripts import (
    Act,
    Consumer,
    Script,
    becomes,
    cancels,
    declines,
    disabled,
    errors,
    extends,
    forgotten,
    goes_back,
    identifies,
    opens,
    pays,
    retries,
    returns,
    vanishes,
    waits,
)
from hpp_async._provider.words import Envelope, Hint, Operation
from hpp_async.testing._clock import VirtualClock
from hpp_async.testing._recorder import Recorder
from hpp_async.testing._transport import ScriptedProvider, mock_provider

__all__ = [
    "Act",
    "Answer",
    "Answered",
    "Callbacks",
    "Consumer",
    "Cut",
    "Dateless",
    "Dropped",
    "Envelope",
    "Fault",
    "FaultKind",
    "Faults",
    "Foreign",
    "Garbled",
    "Hint",
    "Life",
    "Missing",
    "Operation",
    "OrderNotification",
    "Planned",
    "Provider",
    "Recorder",
    "Refused",
    "RequestFaults",
    "Scarce",
    "Scenario",
    "Script",
    "ScriptedProvider",
    "SessionOverError",
    "Skewed",
    "Slow",
    "Stale",
    "Stalled",
    "StatusCallback",
    "Step",
    "Throttled",
    "Undated",
    "VirtualClock",
    "becomes",
    "cancels",
    "declines",
    "disabled",
    "errors",
    "extends",
    "forgotten",
    "goes_back",
    "identifies",
    "mock_provider",
    "opens",
    "pays",
    "retries",
    "returns",
    "vanishes",
    "waits",
]
