"""The plugin module that the core loads. It registers classes without importing numpy."""

from __future__ import annotations
