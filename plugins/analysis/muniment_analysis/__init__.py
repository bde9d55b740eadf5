"""Evaluators for Muniment."""
