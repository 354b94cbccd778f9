"""Positions of one prompt as several models would give them: layouts, allotments of frequencies, and their sources."""
