"""The user's hand on who is who: a folder of pictures to look at, and ``people.toml`` to edit.

The kept analysis stays as it was found. ``people.toml`` says who is who in it (``edits``), and is applied each time the
analysis is used (``application``): a change costs no new analysis. Commands edit the same text (``changes``).
"""

from vidrestore.people.application import Photograph, apply
from vidrestore.people.changes import Change, Edit, Merge, Split
from vidrestore.people.edits import is_source, read
from vidrestore.people.folder import FOLDER
from vidrestore.people.obedience import FILE, edit_and_obey, obey

__all__ = [
    "FILE",
    "FOLDER",
    "Change",
    "Edit",
    "Merge",
    "Photograph",
    "Split",
    "apply",
    "edit_and_obey",
    "is_source",
    "obey",
    "read",
]
