"""Have the system put what was written on the disk, so that it outlasts a loss of power."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def make_durable(path: Path) -> None:
    """Return when the content of a file, or the names in a folder, are on the disk.

    Raises:
        OSError: the disk refuses.

    """
    with suppress(PermissionError):  # of folders, where the system lets no program open them
        # Some systems flush only what is open for writing, which a folder cannot be.
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
