"""Fitting a model to data: its options, its tuning and its parts."""
