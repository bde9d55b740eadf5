"""Variance shares of wording, control parameters, their interactions and the seed."""
