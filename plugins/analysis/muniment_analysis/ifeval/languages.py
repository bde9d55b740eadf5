"""Detect the language of a text with langdetect, with equal results in every process."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langdetect.detector_factory import DetectorFactory


def detect_language(text: str) -> str | None:
    """Return the code of a text's language, or None for a text without letters.

    Chinese is `zh-cn` or `zh-tw`.
    """
    from langdetect.lang_detect_exception import LangDetectException

    detector = _factory().create()
    detector.append(text)
    try:
        language: str = detector.detect()
    except LangDetectException:  # no features in the text
        return None
    return language


def known_languages() -> frozenset[str]:
    """Return the codes that `detect_language` returns, and `zh` for both forms of Chinese."""
    return frozenset([*_factory().get_lang_list(), "zh"])


def is_language(text: str, language: str) -> bool:
    """Return whether a text is in a language. One whose language cannot be detected is."""
    detected = detect_language(text)
    return detected in (None, language) or (language == "zh" and str(detected).startswith("zh-"))


@functools.cache
def _factory() -> DetectorFactory:
    """Return a factory with all profiles and seed 0, apart from the library's global one.

    Without a seed, the detector draws at random, and a short text gets other languages each time.
    """
    from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory

    factory = DetectorFactory()
    factory.load_profile(PROFILES_DIRECTORY)
    factory.set_seed(0)
    return factory
