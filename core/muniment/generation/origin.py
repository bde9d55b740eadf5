"""Find the generation that a file came from, or that used it as an input.

A file is compared by the fingerprint of its content, by its bytes, by the commitments to
selections, and by its stamp. A text is also compared without its visible label.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from muniment.errors import ProvenanceError, UnknownFileError, UnknownNameError, UsageError
from muniment.representation import showing
from muniment.store import Store
from muniment.types.provenance import Provenance
from muniment.validation import is_text

if TYPE_CHECKING:
    from muniment.plugins.media import MediaTypes
    from muniment.plugins.objects import RegisteredObject

Match: TypeAlias = Literal["bytes", "fingerprint", "selection", "text", "id"]

MAX_BYTES = 2**30  # of a file; the databases store no larger content


@dataclass(frozen=True, slots=True)
class Origin:
    """The generation that a file came from, or that used it.

    `same_content` is whether the file has the content of the recorded output or input, and None if
    that cannot be compared. `others` are the ids of other generations with the same content, the
    newest first. `stamp` is the id that the file contains, or None. `input` is the name of the
    input that the file was, or None for an output. `match` is the property of the file by which
    the generation was found, of which `text` is a text without its visible label.
    """

    id: str
    same_content: bool | None
    others: tuple[str, ...] = ()
    stamp: str | None = None
    input: str | None = None
    match: Match = "bytes"

    __repr__ = showing("id", "input", "same_content", "match")


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file that was read once, with what it contains about its generations.

    `types` are the media types that recognise it. `problem` is the reason why its provenance is
    invalid, or an empty text.
    """

    name: str | Path
    data: bytes
    types: Sequence[RegisteredObject]
    provenances: tuple[Provenance, ...] = ()
    problem: str = ""


def read_file(
    name: str | Path, media: Callable[[], MediaTypes], data: bytes | None = None
) -> FileContent:
    """Return a file with what it contains about its generations.

    `data` has its bytes if the caller has read them. Raises UsageError if the file cannot be read,
    and UnknownFileError if it is too large.
    """
    data = _content(name) if data is None else data
    if not data:
        raise UsageError(f"{name} is empty")
    types = media().recognised(data)
    problem = ""
    for registered in types:
        try:
            if provenances := media().read_provenance(registered, data):
                return FileContent(name, data, types, provenances)
        except ProvenanceError as error:
            problem = problem or str(error)
    return FileContent(name, data, types, (), problem)


def find_origin(file: FileContent, store: Store, media: Callable[[], MediaTypes]) -> Origin:
    """Return the generation that a file came from, or else the newest that used it as an input.

    Content counts more than a stamp, which anyone can change. Raises UnknownFileError if the file
    belongs to no generation of the store.
    """
    provenances = file.provenances
    stamp = provenances[0].id if len(provenances) == 1 else None
    fingerprints = [
        fingerprint
        for registered in file.types
        if (fingerprint := media().fingerprint(registered, file.data)) is not None
    ]
    if origin := _with_content(file.data, fingerprints, stamp, store):
        if file.problem:
            media().report(f"the file has no readable provenance: {file.problem}")
        return origin
    if file.problem:
        raise UnknownFileError(
            f"the request in {file.name} is invalid, and no output or input in this store has the "
            f"content of the file: {file.problem}"
        )
    if not file.types:
        raise UnknownFileError(_unrecognised(file.name, file.data))
    if len(provenances) > 1:
        raise UnknownFileError(
            f"{file.name} shows several generations: {_ids(provenances)}; use the id of one"
        )
    if stamp is None:
        raise UnknownFileError(
            f"no output in this store has the fingerprint of {file.name}, and no output or input "
            "has its bytes; outputs have a fingerprint only if they were recorded while a plugin "
            "handled their media type"
        )
    try:
        recorded = store.generation(stamp)
    except UnknownNameError:
        raise UnknownFileError(
            f"{file.name} contains the id {stamp}, and no generation in this store has that id or "
            "the content of the file"
        ) from None
    # A file of another format, such as a JPEG of a recorded PNG, never has the recorded content.
    comparable = fingerprints and any(
        output.fingerprint and media().matches(output.media_type, file.data) is not False
        for output in recorded.outputs
    )
    return Origin(stamp, False if comparable else None, (), stamp, match="id")


def _with_content(
    data: bytes, fingerprints: Sequence[bytes], stamp: str | None, store: Store
) -> Origin | None:
    """Return the generation with this content as an output or else an input, or None."""
    for fingerprint in fingerprints:
        if ids := store.with_fingerprint(fingerprint):
            origin = _same_content(ids, stamp, "fingerprint")
            outputs = store.generation(origin.id).outputs
            identical = any(output.data == data for output in outputs)
            return replace(origin, match="bytes") if identical else origin
    if ids := store.with_output(data):
        return _same_content(ids, stamp, "bytes")
    if ids := store.with_selection(data):
        return _same_content(ids, stamp, "selection")
    if ids := store.with_input(data):
        inputs = store.generation(ids[0]).inputs
        used_as = next(item.name for item in inputs if item.data == data)
        return Origin(ids[0], True, tuple(ids[1:]), stamp, used_as)
    from muniment.provenance.labels import without_visible_label

    for text in without_visible_label(data):
        if ids := store.with_output(text):
            return _same_content(ids, stamp, "text")
    return None


def _same_content(ids: Sequence[str], stamp: str | None, match: Match) -> Origin:
    """Return the generation with the stamp, or else the first, of those with this output."""
    id = stamp if stamp is not None and stamp in ids else ids[0]
    others = tuple(other for other in ids if other != id)
    return Origin(id, True, others, stamp, match=match)


def _ids(provenances: Sequence[Provenance]) -> str:
    """Return the ids of a combined file, the first twenty of many."""
    more = f" and {len(provenances) - 20:,} more" if len(provenances) > 20 else ""
    return ", ".join(provenance.id for provenance in provenances[:20]) + more


def _content(name: object) -> bytes:
    if not isinstance(name, str | Path):
        raise UsageError(f"a file is named by its path, such as 'a.png', not by {name!r:.80}")
    file = Path(name)
    if file.exists() and not file.is_file():
        raise UsageError(f"cannot read {file}: it is not a file")
    try:
        if (size := file.stat().st_size) > MAX_BYTES:
            raise UnknownFileError(
                f"no output or input in this store has the bytes of {file}, because it has "
                f"{size:,} bytes; a recorded content has at most {MAX_BYTES:,}"
            )
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None


def _unrecognised(name: str | Path, data: bytes) -> str:
    if is_text(data):
        return (
            f"no output or input in this store has the bytes of {name}, which is text; `muniment "
            "audit search` finds generations by their texts"
        )
    return (
        f"no installed plugin recognises the content of {name}, and no output or input in this "
        "store has its bytes"
    )
