"""Recommendation generation for Muniment."""
