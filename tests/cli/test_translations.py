"""The catalogues of the first-party distributions are complete."""

from __future__ import annotations

import muniment.testing


class TestCore(muniment.testing.TranslationContract):
    distribution = "muniment"


class TestAnalysis(muniment.testing.TranslationContract):
    distribution = "muniment-analysis"


class TestImage(muniment.testing.TranslationContract):
    distribution = "muniment-image"


class TestInstaller(muniment.testing.TranslationContract):
    distribution = "muniment-installer"


class TestRecommendation(muniment.testing.TranslationContract):
    distribution = "muniment-recommendation"


class TestText(muniment.testing.TranslationContract):
    distribution = "muniment-text"
