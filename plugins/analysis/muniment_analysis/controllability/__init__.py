"""Controllability: what moves the output of a generator, by how much, with an interval."""
