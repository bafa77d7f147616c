"""A second of before and after, side by side: python samples/2_preview.py IN OUT [START]."""

import sys

from vidrestore import preview_video

start = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
result = preview_video(sys.argv[1], sys.argv[2], start=start, duration=1.0)
print(result.output, *result.warnings, sep="\n")
