"""Texts for a reader about a ranked list, which are checked against it."""
