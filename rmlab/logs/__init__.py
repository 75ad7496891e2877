"""The log of a run: its command and settings, what it did and said, and its errors, one JSON object a
line."""
