"""Erasure, legal holds and retention rules."""
