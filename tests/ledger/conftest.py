"""Hypothesis without deadlines: a busy machine is no failure."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("muniment", deadline=None)
settings.load_profile("muniment")
