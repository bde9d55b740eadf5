"""Logs of samples of other tools, read as tables of measured outputs."""
