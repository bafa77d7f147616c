"""What vidrestore does, as functions: build the parts from settings and connect them."""

from vidrestore.api.analyze import analyze_video, describe_analysis, describe_people, work_folder
from vidrestore.api.people import people_of
from vidrestore.api.planning import plan_restoration
from vidrestore.api.preview import preview_frame, preview_video
from vidrestore.api.restore import RestoreResult, Witness, restore_video
from vidrestore.api.resume import resume_video

__all__ = [
    "RestoreResult",
    "Witness",
    "analyze_video",
    "describe_analysis",
    "describe_people",
    "people_of",
    "plan_restoration",
    "preview_frame",
    "preview_video",
    "restore_video",
    "resume_video",
    "work_folder",
]
