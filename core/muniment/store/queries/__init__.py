"""Queries: which generations match, and how they are loaded."""
