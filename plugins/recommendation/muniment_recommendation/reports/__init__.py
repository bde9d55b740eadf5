"""Measures of the lists of a model, as numbers and as charts."""
