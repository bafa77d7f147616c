"""What vidrestore does, as functions: build the parts from settings and connect them."""

from vidrestore.api.analyze import analyze_video, describe_analysis, describe_people, work_folder
from vidrestore.api.people import people_of
from vidrestore.api.preview import preview_frame, preview_video
from vidrestore.api.restore import RestoreResult, Witness, restore_video

__all__ = [
    "RestoreResult",
    "Witness",
    "analyze_video",
    "describe_analysis",
    "describe_people",
    "people_of",
    "preview_frame",
    "preview_video",
    "restore_video",
    "work_folder",
]
