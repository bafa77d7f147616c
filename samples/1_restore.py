"""Restore a video: python samples/1_restore.py IN OUT."""

import sys

from vidrestore import restore_video

result = restore_video(sys.argv[1], sys.argv[2])
print(f"{result.faces_restored} of {result.faces} faces of {result.people} people restored in {result.seconds} s")
