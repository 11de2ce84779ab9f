"""One file for each signal: what it is, of which paper, and how it is computed for many rows at a time."""
