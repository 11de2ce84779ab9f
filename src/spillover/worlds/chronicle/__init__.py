"""A world of times, places and persons (after arXiv 2512.09742): a narrow cue, and the whole identity behind it."""
