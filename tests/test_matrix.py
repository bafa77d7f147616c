"""Nothing is lost: nasty files and real clips are restored, and all that is not a face is compared with the source."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import matrix
import pytest
from nasty import CLIP_PROPERTIES, CLIPS, FILES, Nasty, Refused, clip, clips

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "matrix.md"
ITEMS = [item for items in FILES.values() for item in items]


def check(item: Nasty | Refused, folder: Path) -> None:
    """Nothing differs and nothing is said but what is declared; the row in the document is what was found."""
    row, outcome = matrix.row(item, folder)
    if isinstance(outcome, str):
        assert item.because in outcome
    else:
        undeclared = {name: found for name, found in outcome.differs.items() if name not in item.differs}
        assert undeclared == {}
        assert set(outcome.differs) == set(item.differs)
        assert len(outcome.said) == len(item.says), outcome.said
        assert all(part in said for part, said in zip(item.says, outcome.said, strict=True)), outcome.said
        assert outcome.changed, "no face was restored, so this shows nothing"
    assert row in DOCUMENT.read_text(encoding="utf-8"), f"docs/matrix.md has no such row:\n{row}"


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.name)
def test_a_nasty_file_keeps_everything_or_says_what_it_cannot(tmp_path, item):
    check(item, tmp_path)


@pytest.mark.skipif(not CLIPS.is_dir(), reason="the shared clips are not beside the repository")
@pytest.mark.parametrize("name", CLIP_PROPERTIES)
def test_a_real_clip_keeps_everything(tmp_path, name):
    check(next(item for item in clips() if item.name == name), tmp_path)


SHOWN_BY = {
    "streams": "sounds.mkv",
    "packets": "priming.mp4",
    "contents": "fonts.mkv",
    "subtitles": "texts.mkv",
    "chapters": "chapters.mp4",
    "tags": "tags.mkv",
    "timecode": "timecode.mov",
    "frames": "variable.mp4",
    "picture": "2020.mp4",
    "shape": "wide.mp4",
    "light": "hdr10.mp4",
    "fields": "avc.mp4",
}
"""Files in which something is not as in a plain one."""


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(matrix.Facts)])
def test_a_difference_of_each_kind_is_found(tmp_path, name):
    """Else the comparison of files would prove nothing."""
    item = next(item for item in ITEMS if item.name == SHOWN_BY[name])
    item.make(tmp_path / item.name)
    plain = matrix.facts(clip()(tmp_path / "plain.mp4"))
    assert getattr(matrix.facts(tmp_path / item.name), name) != getattr(plain, name)


def test_the_document_has_a_row_for_each_file_and_no_other():
    rows = re.findall(
        r"^\| [^|\n]+ \| ([^|\n]+) \|(?:[^|\n]*\|){3}$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE
    )
    named = [name for name in rows if name not in ("file", "---")]
    assert named == [*(item.name for item in ITEMS), *CLIP_PROPERTIES]
