"""Gettext catalogues of a distribution: collect its texts, update, compile and check them."""

from __future__ import annotations

from muniment.testing.translations.contract import TranslationContract

__all__ = ["TranslationContract"]
