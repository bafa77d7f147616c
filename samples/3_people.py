"""Who is in a video, and which references were chosen: python samples/3_people.py IN."""

import sys

from vidrestore import analyze_video

for identity in analyze_video(sys.argv[1]).identities:
    print(identity.name, f"in {len(identity.track_ids)} tracks")
    for reference in identity.references:
        print("   ", reference.reason)
