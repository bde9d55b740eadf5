"""Exception classes of Muniment. Each instance carries the object that it concerns.

A message is one sentence that names the object, the problem and the next step.
"""

from __future__ import annotations

import copyreg
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


class MunimentError(Exception):
    """Base class of all errors that Muniment raises on purpose. `str()` is a user message.

    Example:
        >>> try:
        ...     session.generation("no-such-id")
        ... except muniment.MunimentError as error:
        ...     print(str(error).partition(";")[0])
        no generation named 'no-such-id'
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """Return a pickle form that keeps all attributes, for errors sent between processes."""
        # The default form calls the class with `args`, but subclasses take other arguments.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class UsageError(MunimentError):
    """A mistake of the user, such as an unknown name, a value out of range or a malformed file.

    Example:
        >>> try:
        ...     session.feedback(done.id, rating=9)
        ... except muniment.UsageError as error:
        ...     print(error)
        a rating is up, down or a number from 1 to 5, not 9
    """


class ParameterError(UsageError):
    """A requested parameter that is unknown, has the wrong type or is out of range.

    Example:
        >>> try:
        ...     session.generate("Once", parameters={"warmth": 2})
        ... except muniment.ParameterError as error:
        ...     print(error.name)
        warmth
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class InputError(UsageError):
    """An input that the generator does not declare, that cannot be read or that does not fit.

    Example:
        >>> try:
        ...     session.generate("Once", inputs={"picture": b"bytes"})
        ... except muniment.InputError as error:
        ...     print(error.name)
        picture
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class SeedError(UsageError):
    """A seed that is not an unsigned 64-bit integer.

    Example:
        >>> try:
        ...     session.generate("Once", seed=-1)
        ... except muniment.SeedError as error:
        ...     print(error.value)
        -1
    """

    def __init__(self, value: object) -> None:
        # Python refuses to convert very long integers to text (sys.set_int_max_str_digits).
        is_long = isinstance(value, int) and abs(value) >> 999
        label = "of hundreds of digits" if is_long else str(value)
        super().__init__(
            f"seed {label[:40]} is not a whole number from 0 to 18446744073709551615 (2^64 - 1)"
        )
        self.value = value


class PromptError(UsageError):
    """A prompt that cannot be stored or read as text.

    Example:
        >>> try:
        ...     session.generate("an unpaired surrogate: \\ud800")
        ... except muniment.PromptError:
        ...     print("refused")
        refused
    """


class UnknownNameError(UsageError):
    """A name that no plugin object, model, generation or run has.

    Example:
        >>> try:
        ...     session.generate("Once", generator="poem")
        ... except muniment.UnknownNameError as error:
        ...     print(error.kind, error.name, error.known)
        generator poem ('text', 'rank')
    """

    def __init__(self, kind: str, name: str, known: Sequence[str] = (), hint: str = "") -> None:
        choices = choice_of(name, sorted(known)) if known else ""
        super().__init__(f"no {kind} named {name!r}{choices}{'; ' + hint if hint else ''}")
        self.kind, self.name, self.known, self.hint = kind, name, tuple(known), hint


class UnknownFileError(MunimentError):
    """A file that is neither an output nor an input of a generation in the store.

    Example:
        >>> try:
        ...     session.find_file("notes.txt", content=b"another text")
        ... except muniment.UnknownFileError:
        ...     print("not from this store")
        not from this store
    """


class AmbiguousNameError(UsageError):
    """A name or an abbreviated id matches more than one object.

    Example:
        >>> error = muniment.AmbiguousNameError("run", "01", ["01AB", "01CD"])
        >>> error.candidates
        ('01AB', '01CD')
    """

    def __init__(self, kind: str, name: str, candidates: Sequence[str], hint: str = "") -> None:
        super().__init__(
            f"{kind} {name!r} could be {' or '.join(candidates)}{'; ' + hint if hint else ''}"
        )
        self.kind, self.name, self.candidates = kind, name, tuple(candidates)


class PluginError(MunimentError):
    """A plugin that could not be loaded, or that broke the plugin contract.

    Example:
        >>> try:
        ...     raise muniment.PluginError("muniment-echo", "plugin muniment-echo cannot be loaded")
        ... except muniment.PluginError as error:
        ...     print(error.distribution)
        muniment-echo
    """

    def __init__(self, distribution: str, message: str) -> None:
        super().__init__(message)
        self.distribution = distribution


class SelectionError(PluginError):
    """A selection of a list that differs from the recorded one, or has other items.

    Example:
        >>> issubclass(muniment.SelectionError, muniment.PluginError)
        True
    """


class PluginWarning(UserWarning):
    """A failure of a plugin that changes no result, such as a preview that cannot be made.

    Example:
        >>> import warnings
        >>> warnings.simplefilter("ignore", muniment.PluginWarning)
    """


class ProvenanceError(MunimentError):
    """Provenance that cannot be read from a file, or that cannot be written or signed.

    Example:
        >>> from muniment.provenance import from_json
        >>> try:
        ...     from_json("{}")
        ... except muniment.ProvenanceError:
        ...     print("no provenance")
        no provenance
    """


class ModelError(MunimentError):
    """A model that cannot be used.

    Its weights are missing, incomplete or pickled, or its digest differs from the recorded one.

    Example:
        >>> try:
        ...     muniment.model_digest(folder / "missing")
        ... except muniment.ModelError as error:
        ...     print(error.model.endswith("missing"))
        True
    """

    def __init__(self, model: str, message: str) -> None:
        super().__init__(message)
        self.model = model


class ModelTermsWarning(UserWarning):
    """The terms of a packaged model, issued before the model is added.

    If a warnings filter turns it into an error, the model is not added.

    Example:
        >>> import warnings
        >>> warnings.simplefilter("error", muniment.ModelTermsWarning)  # do not add such a model
    """


class YamlError(UsageError):
    """A YAML document that is malformed or ambiguous. The message says what to correct.

    Example:
        >>> try:
        ...     muniment.parse_yaml("a: 1\\na: 2")
        ... except muniment.YamlError as error:
        ...     print(error)
        contains the key 'a' twice; remove one
    """


class PolicyError(UsageError):
    """A malformed policy file. Nothing is generated with it.

    Example:
        >>> path = folder / "policy.yaml"
        >>> _ = path.write_text("policy: team")
        >>> try:
        ...     session.generate("Once", policy=path)
        ... except muniment.PolicyError as error:
        ...     print(error.source.strip("'") == str(path))
        True
    """

    def __init__(self, source: str, message: str) -> None:
        super().__init__(f"policy {source}: {message}")
        self.source = source


class ConfigError(UsageError):
    """A malformed configuration file, or an unknown key in it.

    Example:
        >>> _ = (folder / "config.toml").write_text("actor = ")
        >>> try:
        ...     muniment.open(folder)
        ... except muniment.ConfigError as error:
        ...     print(error.path.name)
        config.toml
    """

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"configuration {path}: {message}")
        self.path = path


class StoreError(MunimentError):
    """A store that cannot be opened, read or written.

    Example:
        >>> try:
        ...     list(muniment.open(folder).generations())
        ... except muniment.StoreError as error:
        ...     print(error.url.endswith("muniment.db"))
        True
    """

    def __init__(self, url: str, message: str) -> None:
        super().__init__(message)
        self.url = url


class DamagedStoreError(StoreError):
    """A store whose file or tables the database cannot read."""


class StoreVersionError(StoreError):
    """A database whose schema is newer, was altered, or was not created by Muniment."""


class AlteredRevisionError(StoreVersionError, DamagedStoreError):
    """A store that records another revision than that of its schema."""


class VerificationError(MunimentError):
    """Evidence that was altered, truncated, rolled back or replaced after it was recorded."""


_MOST_NAMES = 3  # in a suggestion
_LEAST_SIMILARITY = 0.75  # as difflib measures it; that of `monday` and `today` is 0.73


def similar_names(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names that are spelled similarly, the most similar first.

    Names that begin with two or more given characters follow.
    """
    from difflib import get_close_matches

    folded, spelled = name.casefold(), {item.casefold(): item for item in known}
    found = get_close_matches(folded, spelled, cutoff=_LEAST_SIMILARITY)
    if len(folded) > 1:
        found += [item for item in spelled if item.startswith(folded) and item not in found]
    return [spelled[item] for item in found[:_MOST_NAMES]]


def choice_of(name: str, known: Sequence[str]) -> str:
    """Return the end of a clause about an unknown name, with names that can be used instead.

    Similar names replace the list of all that are known.
    """
    if similar := similar_names(name, known):
        return f" (did you mean {' or '.join(similar)}?)"
    return f"; available: {', '.join(known) or 'none'}"


def explain_invalid(error: Exception, hints: Mapping[str, str]) -> str:
    """Return where and why a document does not fit its types, and a hint for that field.

    `error` is a `msgspec.ValidationError`. `hints` has a hint for each field of the document, or
    of the part that has the error. It is empty for a document that no person writes.

    Example:
        >>> import msgspec
        >>> try:
        ...     msgspec.convert("x", int)
        ... except msgspec.ValidationError as error:
        ...     print(muniment.explain_invalid(error, {}))
        expected `int`, got `str`
    """
    reason, _, place = str(error).partition(" - at ")
    fields = [name for name in re.findall(r"\w+", f"{reason} {place}") if name in hints]
    names = ", ".join(hints)
    if unknown := re.search("unknown field `(.*?)`", reason):
        hint = choice_of(unknown[1], list(hints))
    else:
        hint = f"; {hints[fields[-1]]}" if fields else f"; use the fields {names}"
    if not hints:
        hint = ""
    path = place.replace("`", "").replace("$.", "").removesuffix(" in $")
    return f"{path}: " * bool(path) + reason[0].lower() + reason[1:] + hint
