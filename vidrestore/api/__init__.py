"""What vidrestore does, as functions: build the parts from settings and connect them."""

from vidrestore.api.analyze import analyze_video, describe_analysis, work_folder
from vidrestore.api.preview import preview_video
from vidrestore.api.restore import RestoreResult, restore_video

__all__ = [
    "RestoreResult",
    "analyze_video",
    "describe_analysis",
    "preview_video",
    "restore_video",
    "work_folder",
]
