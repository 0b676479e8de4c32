"""
What users need to test code that waits for sessions, and what this library's own suite uses.

A virtual clock and a provider in memory: 48 hours pass in about a second, on asyncio and trio, without patching.
"""

from hpp_async.testing._clock import VirtualClock
from hpp_async.testing._consumers import Consumer, Step
from hpp_async.testing._provider import Answer, Provider
from hpp_async.testing._transport import ScriptedProvider

__all__ = ["Answer", "Consumer", "Provider", "ScriptedProvider", "Step", "VirtualClock"]
