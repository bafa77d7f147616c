"""``people.toml`` as it is made for a new analysis, with every key explained, and which analysis a file is of."""

from __future__ import annotations

import hashlib
import re
import zlib
from typing import Final

from vidrestore.people.edits import HEADER, MADE_FOR
from vidrestore.people.statements import literal
from vidrestore.types import Analysis, Identity

_GUIDE: Final = """\
# Who is who in this video, and how each person is restored. Edit it and restore again: only what you change comes out
# different, and nothing is analyzed again. 'vidrestore people' makes the same edits. To begin anew, delete this file.
#
# people/NAME/sheet.png shows each person, people/unassigned.png the tracks of nobody. Over each picture stand its time,
# its track (a face followed through one shot) and its "pts", by which it is pinned or excluded here.
#
# [[person]]           One for each person. The faces of tracks in no list are restored without references.
# name = "Ada"         Any name, each only once; it names the folder people/NAME.
# tracks = [0, 3]      To merge two people, put the tracks of both into one list and delete the other [[person]]. To
#                      split a track off, move its number into the list of a new [[person]].
# enabled = true       false leaves the faces of this person as they are.
# strength = 1.0       From 0, which leaves the faces as they are, to 1, which restores them fully.
# restore_from = 3.0   Seconds; earlier faces of this person stay as they are. Without it: from the beginning.
# restore_to = 10.0    Seconds; from here on faces of this person stay as they are. Without it: to the end.
# pin = ["pts 512", "photos/ada.jpg"]
#                      References used in any case: pictures of this person, or photographs (a path from this folder).
# exclude = ["pts 1024"]
#                      Pictures of this person never to be used as a reference.
"""


def template(analysis: Analysis) -> str:
    """The file for a new ``analysis``: everything as it was found."""
    body = "\n".join([_GUIDE, *(_section(identity) for identity in analysis.identities), *_free_tracks(analysis)])
    key = f"{_digest(analysis)}-{_checksum(body)}"
    return f'{MADE_FOR} = "{key}"  # Which analysis this file is of; leave it as it is.\n{body}'


def is_of(text: str, analysis: Analysis) -> bool:
    """Whether ``text`` was made for the tracks of ``analysis``; one that does not say is taken to be."""
    made = re.search(rf'^{MADE_FOR} = "(\w+)', text, re.MULTILINE)
    return made is None or made[1] == _digest(analysis)


def is_untouched(text: str) -> bool:
    """Whether ``text`` is as :func:`template` made it."""
    first, _, body = text.partition("\n")
    return f'-{_checksum(body)}"' in first


def _section(identity: Identity) -> str:
    lines = [
        HEADER,
        f"name = {literal(identity.name)}",
        f"tracks = {literal(identity.track_ids)}",
        f"enabled = {literal(identity.enabled)}",
        f"strength = {literal(identity.strength)}",
    ]
    if identity.span.start > 0:
        lines.append(f"restore_from = {literal(identity.span.start)}")
    if identity.span.stop is not None:
        lines.append(f"restore_to = {literal(identity.span.stop)}")
    return "\n".join([*lines, "pin = []", "exclude = []", ""])


def _free_tracks(analysis: Analysis) -> list[str]:
    """A comment on the tracks of nobody; nothing where there are none."""
    zero, base = analysis.starts_at, analysis.video.time_base
    lines = [
        f"#   track {track.id}: {float(track.pts[0] * base) - zero:.1f} s to {float(track.pts[-1] * base) - zero:.1f} s"
        for track in analysis.unassigned_tracks
    ]
    if not lines:
        return []
    note = "# Nobody's when this was made, as it is not sure whose; put each number into the tracks of a person:"
    return [note, *lines, ""]


def _digest(analysis: Analysis) -> str:
    """Digest of what decides which tracks there are, and of the tracks."""
    tracks = [(track.id, int(track.pts[0]), int(track.pts[-1])) for track in analysis.tracks]
    content = f"{analysis.fingerprint} {analysis.settings_digest} {tracks}"
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"
