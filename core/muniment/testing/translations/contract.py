"""The contract suite for translations, run by pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from muniment.testing.contract import without_traceback
from muniment.testing.translations.catalogue import (
    LANGUAGE,
    catalogue_file,
    key_of,
    mistakes,
    read,
    strings,
    untranslated,
)
from muniment.testing.translations.texts import Message, texts

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog


class TranslationContract:
    """The checks of a distribution's translations. Subclass it and name the distribution."""

    distribution: ClassVar[str]
    language: ClassVar[str] = LANGUAGE

    @pytest.fixture(scope="class")
    def catalogue(self) -> Catalog:
        """Return the catalogue as it stands."""
        file = catalogue_file(self.distribution, self.language)
        assert file.exists(), f"there is no {file}; {self._remedy}"
        return read(file, self.language)

    @property
    def _remedy(self) -> str:
        return f"run `python -m muniment.testing.translations {self.distribution}`"

    @without_traceback
    def test_it_has_every_text_and_no_other(self, catalogue: Catalog) -> None:
        """Check that the catalogue has the texts of the installed distribution."""
        known = {key_of(message.id) for message in catalogue if message.id}
        wanted = {key_of(message) for message in texts(self.distribution)}
        different = sorted(map(str, known ^ wanted))
        assert not different, (
            f"{len(different)} texts are missing or superfluous; {self._remedy}: {different[:5]}"
        )
        assert not catalogue.obsolete, f"{len(catalogue.obsolete)} texts are obsolete"

    @without_traceback
    def test_every_text_is_translated(self, catalogue: Catalog) -> None:
        """Check that no text lacks a translation, or has one that is marked for review."""
        missing = untranslated(catalogue)
        assert not missing, (
            f"{len(missing)} texts have no reviewed translation; translate them in the catalogue, "
            f"remove `fuzzy`, and {self._remedy}: {missing[:5]}"
        )

    @without_traceback
    def test_translations_keep_placeholders_options_and_commands(self, catalogue: Catalog) -> None:
        """Check that translations have the same parts that a program reads or a user types."""
        problems = [
            f"{problem} in {translation!r}"
            for message in catalogue
            if message.id
            for translation in strings(message.string)
            for problem in mistakes(strings(message.id)[-1], translation)
        ]
        assert not problems, f"{len(problems)} mistakes in translations: {problems[:5]}"

    @without_traceback
    def test_the_compiled_catalogue_is_current(self, catalogue: Catalog) -> None:
        """Check that the compiled catalogue has the translations of its source."""
        from babel.messages.mofile import read_mo

        file = catalogue_file(self.distribution, self.language).with_suffix(".mo")
        with file.open("rb") as stream:
            compiled = translations(read_mo(stream))
        assert compiled == translations(catalogue), (
            f"{file.name} is older than its source; {self._remedy}"
        )


def translations(catalogue: Catalog) -> dict[Message, list[str]]:
    """Return the translations of a catalogue by text."""
    return {key_of(item.id): strings(item.string) for item in catalogue if item.id}
