"""Compares what the database says of entities with what lies on the disk, both ways. What acts is in
mending.py; the rest only looks.

Nothing is locked and nothing is held in memory but a batch: of a million entities as of a hundred.
"""
