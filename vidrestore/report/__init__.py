"""A report in one HTML file: before and after, people, a timeline, what was left as it was, and what did the work."""

from vidrestore.report.glimpses import report_video
from vidrestore.report.run import RunReport

__all__ = ["RunReport", "report_video"]
