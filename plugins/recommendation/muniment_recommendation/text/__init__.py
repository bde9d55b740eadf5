"""Texts of items and wishes: their tokens and their similarity."""
