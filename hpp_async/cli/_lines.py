"""The lines of standard input, as they come: an open pipe must not block the event loop."""

from __future__ import annotations

import asyncio
import os
from typing import Final, TextIO

_CHUNK: Final = 65_536


class Lines:
    """
    The lines of *stream*, which may come over a long time.

    They are read on asyncio, from the file descriptor: a thread that reads a text stream could not be ended when the
    command is interrupted.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._fd = None if stream is None else stream.fileno()
        self._rest = b""

    async def some(self) -> list[str] | None:
        """Return the lines that have come since the last call, at least one; ``None`` at the end of the stream."""
        while self._fd is not None:
            if await _wait_until_readable(self._fd):
                chunk = os.read(self._fd, _CHUNK)
                is_over = not chunk
            else:
                chunk = _all_of(self._fd)
                is_over = True
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            if is_over:
                self._fd = None
                lines += [self._rest] if self._rest else []
            if lines:
                return [line.decode("utf-8", "backslashreplace") for line in lines]
        return None


def _all_of(fd: int) -> bytes:
    return b"".join(iter(lambda: os.read(fd, _CHUNK), b""))


async def _wait_until_readable(fd: int) -> bool:
    """Wait until *fd* can be read without blocking; return False if the loop cannot wait for it."""
    loop, is_ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(fd, is_ready.set)
    except (PermissionError, NotImplementedError):
        return False  # a file on a disk, or the null device, which never blocks; and anything on Windows
    try:
        await is_ready.wait()
    finally:
        loop.remove_reader(fd)
    return True
