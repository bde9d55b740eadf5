"""Read, update and compare the catalogues of a distribution."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from muniment.config import normalised
from muniment.testing.translations.texts import Message, package_of, texts

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog

LANGUAGE = "zh"


def catalogue_file(distribution: str, language: str) -> Path:
    """Return the path of a catalogue's source, which may not exist yet."""
    folder = package_of(distribution) / "locale" / language / "LC_MESSAGES"
    return folder / f"{normalised(distribution)}.po"


def read(file: Path, language: str) -> Catalog:
    """Return a catalogue from its source, or an empty one if there is no file."""
    from babel.messages.catalog import Catalog
    from babel.messages.pofile import read_po

    if not file.exists():
        return Catalog(
            language,
            file.stem,
            header_comment="",
            project=file.stem,
            msgid_bugs_address="",
            last_translator="",
            language_team=language,
            fuzzy=False,
        )
    with file.open("rb") as stream:
        return read_po(stream, language, file.stem, abort_invalid=True)


def update(distribution: str, language: str = LANGUAGE) -> tuple[Path, list[str]]:
    """Write a distribution's catalogue and its compiled form from its texts.

    Returns the path, and the texts without a translation or with one to review.
    """
    from babel.messages.catalog import Catalog
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import write_po

    file = catalogue_file(distribution, language)
    catalogue, template = read(file, language), Catalog(fuzzy=False)
    for message, place in texts(distribution).items():
        template.add(message, auto_comments=[place])
    catalogue.update(template, update_creation_date=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        write_po(stream, catalogue, width=100, no_location=True, ignore_obsolete=True)
    with file.with_suffix(".mo").open("wb") as stream:
        write_mo(stream, catalogue)
    return file, untranslated(catalogue)


def untranslated(catalogue: Catalog) -> list[str]:
    """Return the texts without a translation, or with one that is marked for review."""
    return [
        str(message.id)
        for message in catalogue
        if message.id and (message.fuzzy or not strings(message.string))
    ]


def strings(text: Any) -> list[str]:
    """Return the texts of a message or a translation, with all its plural forms, if all exist."""
    found = [text] if isinstance(text, str) else list(text or ())
    return found if all(found) else []


# Parts of a text that its translation has, too.
_KEPT = {
    "placeholder": re.compile(r"\{\w*\}"),
    "option": re.compile(r"(?<![\w-])--?[a-z][\w-]*"),
    "command": re.compile(r"`[^`]*`"),
    "name in capitals": re.compile(r"(?<![A-Za-z])[A-Z]{2,}(?![a-z])"),
}


def mistakes(text: str, translation: str) -> list[str]:
    """Return the differences between a text and its translation in the parts that must stay."""
    found = []
    for kind, pattern in _KEPT.items():
        wanted, given = set(pattern.findall(text)), set(pattern.findall(translation))
        found += [f"{kind} {part} is missing" for part in sorted(wanted - given)]
        if kind != "name in capitals":
            found += [f"{kind} {part} is not in the text" for part in sorted(given - wanted)]
    return found


def key_of(message: Any) -> Message:
    """Return the id of a message in a catalogue as `texts` returns it."""
    return message if isinstance(message, str) else (message[0], message[1])
