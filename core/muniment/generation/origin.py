"""Find the generation that a file came from, or that used it as an input.

A file is compared by the fingerprint of its content, by its bytes and by its stamp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from muniment.errors import MunimentError, UnknownNameError, UsageError
from muniment.store import Store
from muniment.validation import check_id

if TYPE_CHECKING:
    from muniment.plugins.media import MediaTypes


@dataclass(frozen=True, slots=True)
class Origin:
    """The generation that a file came from, or that used it.

    `same_content` is whether the file has the content of the recorded output or input, and None if
    that cannot be compared. `others` are the ids of other generations with the same content, the
    newest first. `stamp` is the id that the file contains, or None. `input` is the name of the
    input that the file was, or None for an output.
    """

    id: str
    same_content: bool | None
    others: tuple[str, ...] = ()
    stamp: str | None = None
    input: str | None = None


def find_origin(name: str | Path, store: Store, media: Callable[[], MediaTypes]) -> Origin:
    """Return the generation that a file came from, or else the newest that used it as an input.

    Content counts more than a stamp, which anyone can change. Raises UsageError if the file cannot
    be read, and MunimentError if it belongs to no generation of the store.
    """
    data = _content(name)
    candidates = media().recognised(data)
    stamp: str | None = None
    fingerprints: list[bytes] = []
    for registered in candidates:
        stamp = stamp or media().read_stamp(registered, data)
        fingerprint = media().fingerprint(registered, data)
        if fingerprint is None:
            continue
        fingerprints.append(fingerprint)
        if ids := store.with_fingerprint(fingerprint):
            return _same_content(ids, stamp)
    if ids := store.with_output(data):
        return _same_content(ids, stamp)
    if ids := store.with_input(data):
        inputs = store.generation(ids[0]).inputs
        used_as = next(item.name for item in inputs if item.data == data)
        return Origin(ids[0], True, tuple(ids[1:]), stamp, used_as)
    if not candidates:
        raise MunimentError(_unrecognised(name, data))
    if stamp is None:
        raise MunimentError(
            f"no output in this store has the fingerprint of {name}, and no output or input has "
            "its bytes; outputs have a fingerprint only if they were recorded while a plugin "
            "handled their media type"
        )
    try:
        check_id(stamp)
        recorded = store.generation(stamp)
    except (UnknownNameError, UsageError):
        raise MunimentError(
            f"{name} contains the id {stamp:.80}, and no generation in this store has that id or "
            "the content of the file"
        ) from None
    comparable = fingerprints and any(output.fingerprint for output in recorded.outputs)
    return Origin(stamp, False if comparable else None, (), stamp)


def _same_content(ids: Sequence[str], stamp: str | None) -> Origin:
    """Return the generation with the stamp, or else the first, of those with this output."""
    id = stamp if stamp is not None and stamp in ids else ids[0]
    return Origin(id, True, tuple(other for other in ids if other != id), stamp)


def _content(name: object) -> bytes:
    if not isinstance(name, str | Path):
        raise UsageError(f"a file is named by its path, such as 'a.png', not by {name!r:.80}")
    file = Path(name)
    if file.exists() and not file.is_file():
        raise UsageError(f"cannot read {file}: it is not a file")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None
    if not content:
        raise UsageError(f"{file} is empty")
    return content


def _unrecognised(name: str | Path, data: bytes) -> str:
    try:
        data.decode()
    except UnicodeDecodeError:
        return f"no installed plugin recognises the content of {name}"
    return f"{name} is text; `muniment audit search` finds generations by their texts"
