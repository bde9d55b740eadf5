"""Find the media types that plugins register, and call their methods.

A method that is missing, raises or returns an invalid value never fails the caller. The result is
then None, and the failure is reported once. Only writing a file raises an error instead.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, TypeVar

from muniment.errors import AmbiguousNameError, MunimentError, PluginError, PluginWarning
from muniment.hookspecs import MediaType, implemented_methods
from muniment.plugins.registry import (
    Plugins,
    RegisteredObject,
    describe_with_place,
    instantiate,
    quiet_stdout,
)
from muniment.types import Comparison, Generation, Item, Output, PluginRef
from muniment.validation import escape_unencodable

_Value = TypeVar("_Value")


class MediaTypes:
    """The media types of the installed plugins. Each object is created once.

    `report` receives a sentence about each method that failed, once for each method.
    """

    def __init__(self, plugins: Plugins, report: Callable[[str], None] | None = None) -> None:
        self._plugins = plugins
        self.report = report or (lambda text: warnings.warn(text, PluginWarning, stacklevel=2))
        self._objects: dict[str, MediaType] = {}
        self._reported: set[str] = set()

    def registered(self, media_type: str) -> RegisteredObject | None:
        """Return the object that handles a media type, or None. No plugin is loaded for text.

        Raises AmbiguousNameError if two plugins register the type.
        """
        kind = media_type.partition(";")[0].strip()
        if kind.startswith("text/"):
            return None
        matches = [registered for registered in self.all() if kind in registered.media_types]
        if len(matches) > 1:
            raise AmbiguousNameError(
                "media type",
                kind,
                [registered.plugin.distribution for registered in matches],
                "uninstall one",
            )
        return matches[0] if matches else None

    def plugin(self, media_type: str) -> PluginRef | None:
        """Return the distribution that handles a media type, or None."""
        registered = self.registered(media_type)
        return None if registered is None else self._plugins.ref(registered.plugin)

    def get(self, media_type: str) -> MediaType | None:
        """Return the object that handles a media type, or None.

        Raises AmbiguousNameError, or PluginError if it cannot be loaded.
        """
        registered = self.registered(media_type)
        return None if registered is None else self._object(registered)

    def all(self) -> list[RegisteredObject]:
        """Return all registered media types, sorted by name."""
        return self._plugins.objects("media_type")

    def recognised(self, data: bytes) -> list[RegisteredObject]:
        """Return the objects that recognise bytes as one of their types."""
        return [
            registered
            for registered in self.all()
            if self._try(registered, "matches", _checked(bool), data)
        ]

    # ---- methods that fall back to None ------------------------------------------------------

    def describe(self, output: Output) -> str | None:
        """Return a short description of an output, or None."""
        return self._try_for(output, "describe", _checked(str), output.data)

    def preview(self, output: Output, columns: int) -> str | None:
        """Return lines for a terminal, in which control characters are not escaped, or None."""
        return self._try_for(output, "preview", _optional_text, output.data, columns)

    def compare(self, recorded: Output, again: Output) -> Comparison | None:
        """Return how far two different outputs lie apart, or None.

        Outputs of different media types are not compared.
        """
        if recorded.media_type != again.media_type:
            return None
        return self._try_for(recorded, "compare", _comparison, recorded.data, again.data)

    def with_fingerprint(self, output: Output) -> Output:
        """Return an output with its fingerprint, if its media type computes one."""
        try:
            registered = self.registered(output.media_type)
        except MunimentError as error:
            self._report(str(error))
            return output
        if registered is None:
            return output
        return replace(output, fingerprint=self.fingerprint(registered, output.data))

    def fingerprint(self, registered: RegisteredObject, data: bytes) -> bytes | None:
        """Return the SHA-256 of what a media type computes as the fingerprint, or None.

        The digest is recorded, because the samples of a recording can be as large as its file.
        """
        content = self._try(registered, "fingerprint", _checked(bytes), data)
        return None if content is None else sha256(content).digest()

    def read_stamp(self, registered: RegisteredObject, data: bytes) -> str | None:
        """Return the id of a generation that an exported file contains, or None."""
        return self._try(registered, "read_stamp", _optional_text, data)

    # ---- files -------------------------------------------------------------------------------

    def export(
        self, generation: Generation, output: Output, suffix: str, options: Mapping[str, object]
    ) -> bytes:
        """Return the file of an output, of the format that `suffix` names, with its provenance.

        Raises PluginError if the media type fails, and ParameterError for an invalid option.
        """
        registered, values = self._file_options(output.media_type, options)
        provenance = generation.provenance
        return self._call(
            registered, "export", _checked(bytes), output.data, provenance, suffix, values
        )

    def combine(
        self,
        outputs: Sequence[tuple[Generation, Output]],
        suffix: str,
        options: Mapping[str, object],
    ) -> bytes:
        """Return one file that shows outputs of one media type. Raises as `export` does."""
        registered, values = self._file_options(outputs[0][1].media_type, options)
        data = [output.data for _, output in outputs]
        provenances = [generation.provenance for generation, _ in outputs]
        return self._call(registered, "combine", _checked(bytes), data, provenances, suffix, values)

    def _file_options(
        self, media_type: str, options: Mapping[str, object]
    ) -> tuple[RegisteredObject, Any]:
        registered = self.registered(media_type)
        if registered is None:
            raise PluginError("", f"no installed plugin writes files of {media_type}")
        return registered, registered.load_class().Export(**options)

    # ---- lists -------------------------------------------------------------------------------

    def is_list(self, media_type: str) -> bool:
        """Return whether outputs of a media type have items.

        Raises AmbiguousNameError, or PluginError if the media type cannot be loaded.
        """
        registered = self.registered(media_type)
        return registered is not None and "items" in implemented_methods(registered.load_class())

    def items(self, output: Output) -> tuple[Item, ...]:
        """Return the items of a list.

        Raises MunimentError if no plugin reads them, and PluginError if the media type fails.
        """
        return self._call(self._list_type(output), "items", _items, output.data)

    def select(
        self, output: Output, positions: Sequence[int], expected: tuple[Item, ...]
    ) -> Output:
        """Return a list with only the items at these positions, which are the `expected` ones.

        Raises as `items` does, and for a selection that has other items.
        """
        registered = self._list_type(output)

        def check(data: object) -> Output:
            selection = replace(output, data=_checked(bytes)(data))
            # It could contain an item that a filter blocked.
            if _items(self._object(registered).items(selection.data)) != expected:
                raise ValueError("it returned other items")
            return selection

        return self._call(registered, "select", check, output.data, positions)

    def _list_type(self, output: Output) -> RegisteredObject:
        registered = self.registered(output.media_type)
        if registered is None or not self.is_list(output.media_type):
            raise MunimentError(
                f"no installed plugin reads the items of {output.media_type}; install one"
            )
        return registered

    # ---- calls -------------------------------------------------------------------------------

    def _object(self, registered: RegisteredObject) -> MediaType:
        if registered.name not in self._objects:
            self._objects[registered.name] = instantiate(registered)
        return self._objects[registered.name]

    def _try_for(
        self, output: Output, method: str, check: Callable[[object], _Value], *arguments: object
    ) -> _Value | None:
        """Call a method of the media type of an output. Return None if that fails."""
        try:
            registered = self.registered(output.media_type)
        except MunimentError as error:
            self._report(str(error))
            return None
        return None if registered is None else self._try(registered, method, check, *arguments)

    def _try(
        self,
        registered: RegisteredObject,
        method: str,
        check: Callable[[object], _Value],
        *arguments: object,
    ) -> _Value | None:
        """Call a method and check its result. Return None if it is missing or fails."""
        try:
            if method not in implemented_methods(registered.load_class()):
                return None
            return self._call(registered, method, check, *arguments)
        except PluginError as error:
            self._report(str(error))
            return None

    def _call(
        self,
        registered: RegisteredObject,
        method: str,
        check: Callable[[object], _Value],
        *arguments: object,
    ) -> _Value:
        """Call a method and check its result. Raise PluginError if that fails."""
        subject = self._object(registered)
        try:
            with quiet_stdout():
                return check(getattr(subject, method)(*arguments))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            name = registered.plugin.distribution
            raise PluginError(
                name,
                escape_unencodable(
                    f"{method}() of media type {registered.name!r} of {name} failed: "
                    f"{describe_with_place(error)}"
                ),
            ) from error

    def _report(self, sentence: str) -> None:
        # The reason of a failure can contain a part of the data, so the beginning is compared.
        key = sentence.partition(" failed: ")[0]
        if key not in self._reported:
            self._reported.add(key)
            self.report(sentence)


def _checked(expected: type[_Value]) -> Callable[[object], _Value]:
    """Return a function that raises TypeError for a value of another type."""

    def check(value: object) -> _Value:
        if not isinstance(value, expected):
            raise TypeError(f"it returned {type(value).__name__}, not {expected.__name__}")
        return value

    return check


def _optional_text(value: object) -> str | None:
    return None if value is None else _checked(str)(value)


def _items(value: object) -> tuple[Item, ...]:
    if not isinstance(value, tuple | list):
        raise TypeError(f"it returned {type(value).__name__}, not a tuple")
    ids: set[str] = set()
    for item in value:
        if not (isinstance(item, Item) and _is_text(item.id) and _is_text(item.text)):
            raise TypeError("it returned an item that is no muniment.Item with an id and a text")
        if not item.id or item.id in ids:
            raise ValueError(f"the id {item.id!r} is empty or belongs to two items")
        ids.add(item.id)
    return tuple(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value == value.encode(errors="replace").decode()


def _comparison(value: object) -> Comparison:
    result = _checked(Comparison)(value)
    distance: object = result.distance
    if distance is not None:
        if isinstance(distance, bool) or not isinstance(distance, int | float):
            raise TypeError(f"its distance is {type(distance).__name__}, not a number")
        if not math.isfinite(distance):
            raise ValueError(f"its distance is {distance}")
        distance = float(distance)
    unit, position = map(_checked(str), (result.unit, result.position))
    return Comparison(distance, escape_unencodable(unit), escape_unencodable(position))
