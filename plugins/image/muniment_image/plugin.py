"""The plugin module that the core loads. It registers classes without importing torch."""

from __future__ import annotations
