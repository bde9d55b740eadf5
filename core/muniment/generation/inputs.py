"""Read the inputs of a request: files, bytes, and outputs of recorded generations.

The media type of an input follows from its content. Neither its path nor its name is recorded.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from muniment.errors import InputError, MunimentError, UnknownNameError, choice_of
from muniment.plugins.objects import RegisteredObject
from muniment.store import NoStoreError
from muniment.types.generations import Generation
from muniment.types.inputs import Input, InputSpec
from muniment.types.media_types import accepts_media_type
from muniment.validation import is_text

InputSource: TypeAlias = Path | str | bytes
"""A content, or the path of its file. A text is a path, or an id of a recorded generation."""

Recorded: TypeAlias = Callable[[str], Generation]
"""A function that returns a generation as its caller got it.

The argument is its id, which can be abbreviated, or `last`.
"""

Matches: TypeAlias = Callable[[str, bytes], bool | None]
"""A function that returns whether bytes are of a media type, or None if no plugin can tell."""

# An id of a generation, whole or abbreviated, and perhaps the number of one of its outputs.
_REFERENCE = re.compile(r"(last|…?[0-9A-HJKMNP-TV-Z]{4,26})(?::([1-9][0-9]{0,5}))?", re.IGNORECASE)
_OTHER = "application/octet-stream"


class ReadInputs(NamedTuple):
    """The inputs of a request by name, and the generations whose outputs are among them."""

    inputs: tuple[Input, ...] = ()
    parents: tuple[str, ...] = ()


def unknown(media_type: str, data: bytes) -> bool | None:
    """Return None, as `Matches` does without the plugins of media types."""
    return None


def read_inputs(
    sources: Mapping[str, InputSource],
    registered: RegisteredObject,
    recorded: Recorded,
    matches: Matches = unknown,
    *,
    hide_folders: bool = False,
) -> ReadInputs:
    """Return the inputs of a request to a generator, sorted by name.

    With `hide_folders`, errors name files without their folders, because they are recorded.
    Raises InputError for a name that the generator does not declare. Raises it, too, for an input
    that cannot be read, is empty or too large, or has another media type.
    """
    declared = {spec.name: spec for spec in registered.inputs}
    for name in sources:
        if name not in declared:
            choice = choice_of(name, list(declared))
            raise InputError(
                name, f"generator {registered.name} has no input named {name!r}{choice}"
            )
    inputs: list[Input] = []
    parents: list[str] = []
    for name, source in sorted(sources.items()):
        spec, parent, media_type = declared[name], None, None
        if source == "":
            raise InputError(name, f"the path of the input {name!r} is empty; use that of a file")
        if isinstance(source, bytes):
            data = source
        elif isinstance(source, str) and (match := _reference(source)) is not None:
            parent, media_type, data = _recorded_output(name, match, recorded)
        else:
            data = _read_file(spec, source, hide_folders)
        inputs.append(_checked(spec, data, media_type, matches))
        if parent is not None:
            parents.append(parent)
    return ReadInputs(tuple(inputs), tuple(dict.fromkeys(parents)))


def relative_to(folder: Path, source: str) -> InputSource:
    """Return the source that a text in a file of this folder means."""
    if not source:  # it would mean the folder
        return source
    path = folder / source
    is_reference = _REFERENCE.fullmatch(source) is not None and not _exists(path)
    return source if is_reference else path


def media_type_of(data: bytes, declared: Sequence[str], matches: Matches = unknown) -> str:
    """Return the media type of a content that is not empty.

    `declared` are the types that a generator accepts, one of which is preferred. The plugins of
    media types are asked about those that the core does not recognise.
    """
    for start, end, media_type in _SIGNATURES:
        if data.startswith(start) and data[8:].startswith(end):
            return media_type
    answers = {item: matches(item, data) for item in declared if not item.startswith("text/")}
    if recognised := [item for item, answer in answers.items() if answer]:
        return recognised[0]
    if not is_text(data):
        return _OTHER
    for item, answer in answers.items():
        if answer is None and re.fullmatch(r".+[/+]json", item) and _is_json(data):
            return item
    texts = [item for item in declared if item.startswith("text/")]
    return texts[0] if texts and "text/plain" not in texts else "text/plain"


# The first bytes of a content, its bytes from position 8, and its media type.
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", b"", "image/png"),
    (b"\xff\xd8\xff", b"", "image/jpeg"),
    (b"GIF87a", b"", "image/gif"),
    (b"GIF89a", b"", "image/gif"),
    (b"RIFF", b"WEBP", "image/webp"),
    (b"RIFF", b"WAVE", "audio/wav"),
    (b"fLaC", b"", "audio/flac"),
    (b"OggS", b"", "audio/ogg"),
    (b"ID3", b"", "audio/mpeg"),
    (b"%PDF-", b"", "application/pdf"),
    (b"PK\x03\x04", b"", "application/zip"),
    (b"PAR1", b"", "application/vnd.apache.parquet"),
)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _reference(source: str) -> re.Match[str] | None:
    """Return the parts of an id, or None if the source is the path of a file."""
    return None if _exists(Path(source)) else _REFERENCE.fullmatch(source)


def _exists(path: Path) -> bool:
    return os.path.lexists(path) if "\0" not in str(path) else False


def _checked(spec: InputSpec, data: bytes, media_type: str | None, matches: Matches) -> Input:
    """Return the input with its media type. Raise InputError if the generator cannot accept it.

    `media_type` is the recorded type of an output, which is kept if it is a declared one.
    """
    if not data:
        raise InputError(spec.name, f"the input {spec.name!r} is empty; use one with content")
    if len(data) > spec.max_bytes:
        raise _too_large(spec, len(data))
    if media_type not in spec.media_types:
        media_type = media_type_of(data, spec.media_types, matches)
    if not accepts_media_type(spec.media_types, media_type):
        texts = any(item.startswith("text/") for item in spec.media_types)
        hint = " (UTF-8 without NUL characters)" if texts else ""
        raise InputError(
            spec.name,
            f"the input {spec.name!r} has the media type {media_type}, judged by its content; use "
            f"{' or '.join(spec.media_types)}{hint}",
        )
    return Input(spec.name, media_type, data)


def _too_large(spec: InputSpec, size: int) -> InputError:
    return InputError(
        spec.name,
        f"the input {spec.name!r} has {size:,} bytes; use at most {spec.max_bytes:,}",
    )


def _read_file(spec: InputSpec, source: Path | str, hide_folders: bool) -> bytes:
    """Return the content of a regular file. Raise InputError if it cannot be read or is too large.

    No device or pipe is opened, because that can wait or have an effect.
    """
    shown = str(source)
    if hide_folders:
        shown = os.path.basename(shown.rstrip(os.sep))[:80]
    file_name = f"the file {shown!r} of the input {spec.name!r}"
    try:
        path = Path(source).expanduser()
        _check_regular(spec.name, file_name, path.stat())
        with open(path, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            _check_regular(spec.name, file_name, status)
            if status.st_size > spec.max_bytes:
                raise _too_large(spec, status.st_size)
            return file.read(spec.max_bytes + 1)  # the file may grow while it is read
    except (FileNotFoundError, NotADirectoryError, ValueError, RuntimeError):
        # ValueError: a NUL character. RuntimeError: the home folder of an unknown user.
        reason = "does not exist; use the path of a file, or the id of a generation"
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    raise InputError(spec.name, f"{file_name} {reason}")


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_regular(name: str, file_name: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise InputError(name, f"{file_name} is {kind}; use a regular file")


def _recorded_output(name: str, match: re.Match[str], recorded: Recorded) -> tuple[str, str, bytes]:
    """Return the id, the media type and the content of an output that a reference names."""
    try:
        generation = recorded(match[1])
    except (UnknownNameError, NoStoreError):
        raise InputError(
            name,
            f"the input {name!r} is neither a file nor a recorded generation; use the path of a "
            "file, or the id of a generation",
        ) from None
    except MunimentError as error:  # an abbreviation of several ids
        raise InputError(name, f"the input {name!r} cannot be used: {error}") from None
    number = int(match[2] or 1)
    if (reason := _unusable(generation, number, named=match[2] is not None)) is not None:
        raise InputError(
            name, f"generation {generation.id} cannot be the input {name!r}, because {reason}"
        )
    output = generation.outputs[number - 1]
    return generation.id, output.media_type, output.data


_STATES = {
    "blocked": "it was blocked",
    "failed": "it failed",
    "interrupted": "it was interrupted",
    "started": "it is still running",
}


def _unusable(generation: Generation, number: int, *, named: bool) -> str | None:
    """Return the reason why an output cannot be an input, or None. `number` counts from 1."""
    if generation.status != "completed":
        return f"{_STATES[generation.status]}; use a completed one"
    if "output" in generation.erased:
        return "its output was erased; use another one"
    if "output" in generation.altered:
        return "its output was changed after it was recorded; run `muniment audit verify --all`"
    count = len(generation.outputs)
    if number > count:
        if count == 1:
            return "it has only 1 output; remove the number"
        return f"it has {count} outputs; use a number up to {count}"
    if count > 1 and not named:
        return f"it has {count} outputs; add the number of one, as in {generation.id}:2"
    return None
