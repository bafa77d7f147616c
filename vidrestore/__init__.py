"""vidrestore restores the faces in a video as the people they are, from the video's own sharp frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Settings", "__version__", "analyze_video", "preview_video", "restore_video"]

if TYPE_CHECKING:
    from vidrestore.api import analyze_video, preview_video, restore_video
    from vidrestore.config import Settings


def __getattr__(name: str) -> Any:
    """Import the working parts when they are first asked for: torch and insightface take seconds."""
    if name in ("analyze_video", "preview_video", "restore_video"):
        from vidrestore import api

        return getattr(api, name)
    if name == "Settings":
        from vidrestore.config import Settings

        return Settings
    raise AttributeError(f"module 'vidrestore' has no attribute {name!r}")
