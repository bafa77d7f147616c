"""Text from elsewhere that is shown on a terminal: names, tags and messages may hold what a terminal obeys."""

from __future__ import annotations

import unicodedata
from typing import Final

_CATEGORIES: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Of Unicode: control characters (escape sequences begin with one), half characters, separators of lines."""
_DIRECTIONS: Final = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""Bidirectional classes of the marks that turn the direction of writing, so that text shows as what it is not."""


def printable(text: str) -> str:
    """``text`` with every character that a terminal would obey as a backslash escape; line feeds stay."""
    return "".join(
        character.encode("unicode_escape").decode() if _is_obeyed(character) else character for character in text
    )


def _is_obeyed(character: str) -> bool:
    if character == "\n":
        return False
    return unicodedata.category(character) in _CATEGORIES or unicodedata.bidirectional(character) in _DIRECTIONS
