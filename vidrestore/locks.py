"""A lock that one process at a time holds, and that dies with it."""

from __future__ import annotations

import contextlib
import datetime
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from vidrestore.errors import VideoError

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> bool:
        # Bytes that are locked cannot be read by others there, so one far behind the text is.
        file.seek(1 << 20)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _lock(file: IO[str]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock ``path``, a file that is made where it is missing, and that may be deleted by who holds it.

    The system lets go of it when the process ends, however it ends. The file says who holds it.

    Raises:
        VideoError: another process holds it.
        OSError: the file cannot be made or locked.

    """
    while True:
        with path.open("a+", encoding="utf-8") as file:
            if not _lock(file):
                raise VideoError(f"{path.parent} is in use by {_holder(path)}; wait until it is done")
            if not _is(file, path):
                continue  # who held it has deleted it; what was locked is no longer there
            file.truncate(0)
            now = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
            file.write(f"process {os.getpid()} on {socket.gethostname()}, since {now}")
            file.flush()
            yield
            return


def _is(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") or "another process"
    except OSError:
        return "another process"
