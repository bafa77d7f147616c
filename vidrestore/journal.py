"""What a run has done so far, on the disk, so that a run that was killed can be continued.

A folder beside the output, ``OUT.part``, holds the journal, the segments that are done, and a lock. The journal is a
file of JSON lines: the first says what the run is of and everything that decides its result, each other one that a
segment is done. A line is written when its segment is on the disk, and is on the disk before the next segment begins;
one that was cut off counts for nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vidrestore.durability import make_durable
from vidrestore.errors import VideoError
from vidrestore.locks import held

FORMAT_VERSION = 1
_JOURNAL, _LOCK, _PART = "journal.jsonl", "lock", ".part"
_WORK, _ANALYSIS = ("segment_*", "joined.*"), "analysis"
_HEADER = {"request", "provenance"}

Entry = Mapping[str, Any]


def folder_of(output: Path) -> Path:
    """Where a run keeps what it has done of ``output``."""
    return output.with_name(output.name + ".part")


@contextlib.contextmanager
def opened(output: Path) -> Iterator[Journal]:
    """The journal of ``output``, for this process alone; where nothing was done, nothing is left behind.

    Raises:
        VideoError: another process works on ``output``, or the folder cannot be made or used.

    """
    folder = folder_of(output)
    with contextlib.ExitStack() as exits:
        try:
            folder.mkdir(exist_ok=True)
            exits.enter_context(held(folder / _LOCK))
            journal = Journal(folder)
        except FileExistsError as error:
            raise VideoError(f"{folder} is in the way: the work on {output} is kept there; rename it") from error
        except VideoError:
            raise
        except OSError as error:
            raise VideoError(f"{folder} cannot be used to keep the work on {output} in: {error.strerror}") from error
        try:
            yield journal
        finally:
            if not journal.entries and not journal.analysis_folder.exists():
                journal.delete()


def read_header(folder: Path) -> Entry | None:
    """What the run in ``folder`` is of; None where there is none."""
    return Journal(folder).header


class Journal:
    """The journal in a folder, which belongs to this process alone; made by ``opened``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.header: Entry | None = None
        """Of the run that was begun here, None where there is none."""
        self.entries: list[Entry] = []
        self._read()

    @property
    def analysis_folder(self) -> Path:
        """Where the run keeps an analysis that is kept nowhere else."""
        return self.folder / _ANALYSIS

    def begin(self, header: Entry) -> None:
        """Begin a new run: the segments that an earlier one has left are deleted.

        Raises:
            VideoError: the disk refuses.

        """
        with self._refusals():
            self._delete_work()
            self._rewrite(header, [])

    def keep(self, count: int) -> None:
        """Go on after ``count`` entries, and forget the others.

        Raises:
            VideoError: the disk refuses.

        """
        assert self.header is not None
        with self._refusals():
            self._rewrite(self.header, self.entries[:count])

    def add(self, entry: Entry) -> None:
        """Write an entry; it is on the disk when this returns.

        Raises:
            VideoError: the disk refuses. What was cut off of the entry does no harm.

        """
        with self._refusals(), (self.folder / _JOURNAL).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.entries.append(entry)

    def delete(self) -> None:
        """Delete the run and, where it holds nothing else, the folder; what cannot be deleted stays."""
        with contextlib.suppress(OSError):
            (self.folder / _JOURNAL).unlink(missing_ok=True)
            self._delete_work()
            for path in self.analysis_folder.glob("analysis.*"):
                path.unlink()
            if self.analysis_folder.is_dir():
                self.analysis_folder.rmdir()
            (self.folder / _LOCK).unlink(missing_ok=True)
            self.folder.rmdir()

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn what the system raises into a VideoError."""
        try:
            yield
        except OSError as error:
            raise VideoError(f"{self.folder / _JOURNAL} could not be written: {error.strerror}") from error

    def _rewrite(self, header: Entry, entries: Sequence[Entry]) -> None:
        path, part = self.folder / _JOURNAL, self.folder / (_JOURNAL + _PART)
        with part.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in [header, *entries])
        make_durable(part)
        part.replace(path)
        make_durable(self.folder)
        self.header, self.entries = header, list(entries)

    def _read(self) -> None:
        lines = list(_whole_lines(self.folder / _JOURNAL))
        if lines and lines[0].get("format") == FORMAT_VERSION and lines[0].keys() >= _HEADER:
            self.header, self.entries = lines[0], list(lines[1:])

    def _delete_work(self) -> None:
        for path in [path for pattern in _WORK for path in self.folder.glob(pattern)]:
            path.unlink()


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines, up to the first line that was cut off or damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    for line in content.splitlines(keepends=True):
        try:
            found = json.loads(line)
        except ValueError:
            return
        if not line.endswith(b"\n") or not isinstance(found, dict):
            return
        yield found
