"""Small pieces of HTML. Whatever a user could have named goes through :func:`text`."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping
from importlib import resources


def text(value: object) -> str:
    """``value`` as text that is harmless between tags and inside quoted attributes."""
    return html.escape(str(value), quote=True)


def name(value: str) -> str:
    """A name of any script, kept from turning around the text beside it."""
    return f"<bdi>{text(value)}</bdi>"


def clock(seconds: float) -> str:
    """Seconds as ``1:23.4``, with hours where there are any."""
    tenths = round(abs(seconds) * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if seconds < 0 and tenths else ""
    whole = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{sign}{whole}:{rest // 10:02d}.{rest % 10}"


def between(start: float, stop: float) -> str:
    """A range of time; one moment where both ends read the same."""
    first, last = clock(start), clock(stop)
    return first if first == last else f"{first}\u2013{last}"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """``1 face``, ``1,200 faces``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def jpeg(packed: bytes) -> str:
    """A picture as an address that holds it."""
    return f"data:image/jpeg;base64,{base64.b64encode(packed).decode()}"


def template(file: str) -> str:
    """One of the files in ``templates``."""
    return resources.files("vidrestore.report").joinpath("templates", file).read_text(encoding="utf-8")


def table(caption: str, rows: Mapping[str, str]) -> str:
    """Names and values, both as HTML; rows without a value are left out."""
    lines = (f'<tr><th scope="row">{key}</th><td>{value}</td></tr>' for key, value in rows.items() if value)
    return f"<table><caption>{text(caption)}</caption><tbody>{''.join(lines)}</tbody></table>"


def bullets(items: Iterable[str]) -> str:
    """HTML items as a list."""
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"
