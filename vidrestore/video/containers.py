"""Containers that can be written: which codecs they hold, how they are opened, and which metadata they take."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import lcm
from typing import Any, BinaryIO

import av
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from vidrestore.types import Span
from vidrestore.video.probe import fraction

CONTAINERS: Mapping[str, str] = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
}
"""File name extensions that can be written, and FFmpeg's muxer for each."""

NAMES: Mapping[str, str] = {"mp4": "an .mp4", "mov": "a .mov", "matroska": "an .mkv", "webm": "a .webm"}
"""What people call the files of the muxers, with an article."""

QUICKTIME = frozenset({"mp4", "mov"})
TICK = Fraction(1, 1000)
"""The unit of all timestamps in Matroska and WebM, as FFmpeg writes them."""

_MILLISECONDS = 1000
_PRINTED = 60

_MUXERS_OWN = frozenset({"encoder", "major_brand", "minor_version", "compatible_brands", "duration"})
"""Global metadata that the muxer writes by itself."""

_STALE_PREFIXES = ("encoder", "duration", "bps", "number_of_frames", "number_of_bytes", "rotate", "_statistics")
"""Stream metadata that was true of the old encoding or the old file only."""

_ITUNES_KEYS = frozenset(
    {
        "title",
        "artist",
        "album_artist",
        "composer",
        "album",
        "date",
        "comment",
        "genre",
        "copyright",
        "grouping",
        "lyrics",
        "description",
        "synopsis",
        "show",
        "episode_id",
        "network",
        "keywords",
        "creation_time",
        "location",
        "timecode",
        "language",
    }
)
"""Metadata that the plain mp4 tags hold."""

_MACINTOSH_CODES = {
    "sqi": "alb",
    "hye": "arm",
    "eus": "baq",
    "mya": "bur",
    "zho": "chi",
    "cze": "ces",
    "nld": "dut",
    "fre": "fra",
    "kat": "geo",
    "deu": "ger",
    "ell": "gre",
    "isl": "ice",
    "mkd": "mac",
    "msa": "may",
    "fas": "per",
    "rum": "ron",
    "slo": "slk",
    "bod": "tib",
    "cym": "wel",
}
"""Of the two codes that ISO 639-2 has for some languages, the one that FFmpeg finds in QuickTime's own list."""


def open_output(
    target: str | BinaryIO, muxer: str, metadata: Mapping[str, str], time_base: Fraction, *, has_cover: bool
) -> OutputContainer:
    """An output by FFmpeg's ``muxer`` with this metadata, for a video stream of this time base.

    An mp4 keeps metadata outside the common keys only when told to, and then no cover; and a start offset exactly
    only where its own time scale is a multiple of the stream's. Matroska would move everything to make the first
    timestamp zero, and the priming of sound lies before zero.
    """
    options = {}
    if muxer in QUICKTIME:
        scale = lcm(_MILLISECONDS, time_base.denominator)
        options["movie_timescale"] = str(scale if scale < 2**31 else time_base.denominator)
        if not has_cover and any(key.split("-")[0].lower() not in _ITUNES_KEYS for key in metadata):
            options["movflags"] = "+use_metadata_tags"
    else:
        options["avoid_negative_ts"] = "disabled"
    output = av.open(target, "w", format=muxer, options=options)
    output.metadata.update(metadata)
    return output


def global_metadata(source: InputContainer, comment: str) -> dict[str, str]:
    """Metadata of the whole file, with ``comment`` added after the comment it may have."""
    kept = {key: value for key, value in source.metadata.items() if key.lower() not in _MUXERS_OWN}
    if comment:
        key = next((key for key in kept if key.lower() == "comment"), "comment")
        kept[key] = "; ".join(part for part in (kept.get(key), comment) if part)
    return kept


def stream_metadata(stream: Stream, muxer: str) -> dict[str, str]:
    """Metadata of a stream for ``muxer``, without what described the old encoding.

    A track's title comes back from mp4 and mov as its name, and mov has one code for each language it knows.
    """
    kept = {key: value for key, value in stream.metadata.items() if not key.lower().startswith(_STALE_PREFIXES)}
    if "name" in kept:
        kept.setdefault("title", kept.pop("name"))
    language = kept.get("language")
    if language == "und":
        del kept["language"]
    elif language in _MACINTOSH_CODES and muxer == "mov":
        kept["language"] = _MACINTOSH_CODES[language]
    return kept


def printable(text: str) -> str:
    """The beginning of a ``text`` that a file holds, without what would do something to a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_PRINTED])


def take_timecode(metadata: dict[str, str]) -> str:
    """Remove the timecode from ``metadata``, however its key is spelt, and return it; empty where there is none."""
    found = ""
    for key in [key for key in metadata if key.lower() == "timecode"]:
        found = metadata.pop(key)
    return found


def chapters_within(source: InputContainer, span: Span, zero: Fraction) -> list[Any]:
    """Chapters of the source; those in ``span`` cut to it and moved to its start, where it is not whole."""
    chapters = source.chapters()
    if span.whole:
        return list(chapters)
    kept = []
    stop = Fraction(span.stop) - Fraction(span.start) if span.stop is not None else None
    for chapter in chapters:
        base = fraction(chapter["time_base"]) or Fraction(1, av.time_base)
        begins = max(chapter["start"] * base - zero, Fraction(0))
        ends = chapter["end"] * base - zero if stop is None else min(chapter["end"] * base - zero, stop)
        if ends > begins:
            kept.append({**chapter, "start": round(begins / base), "end": round(ends / base)})
    return kept
