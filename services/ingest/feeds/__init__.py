"""Feeds of passes, rain and level, one file each; what begins with `_` is shared by several."""
