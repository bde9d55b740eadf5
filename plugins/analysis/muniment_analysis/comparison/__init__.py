"""Paired differences of scores between two runs or tables, and gates on them."""
