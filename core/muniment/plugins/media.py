"""Find the media types that plugins register, and call their methods.

A method that is missing, raises or returns an invalid value never fails the caller. The result is
then None, and the failure is reported once. Only writing a file raises an error instead.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from muniment.errors import (
    AmbiguousNameError,
    MunimentError,
    ParameterError,
    PluginError,
    PluginWarning,
    ProvenanceError,
    SelectionError,
)
from muniment.failures import explain
from muniment.hookspecs import MediaType, implemented_methods
from muniment.parameters import Parameters
from muniment.plugins.file_signer import FileSigner
from muniment.plugins.invocation import validate_media
from muniment.plugins.objects import RegisteredObject, checked_values, instantiate
from muniment.plugins.quiet_output import quiet_stdout
from muniment.plugins.registry import Plugins
from muniment.representation import showing
from muniment.types.generations import Generation
from muniment.types.outputs import Comparison, Item, Output
from muniment.types.plugins import PluginRef
from muniment.types.provenance import Provenance
from muniment.validation import escape_unencodable

if TYPE_CHECKING:
    from muniment.config import Config


Drawing = Callable[[Sequence[Provenance], str, Any], bytes]
"""A function that returns one file of several outputs.

It takes the provenance of each output, the suffix of the file, and the options of the media type.
"""

_UNSTAMPED = "the recorded bytes, without provenance"


class MediaTypes:
    """The media types of the installed plugins. Each object is created once.

    `report` receives a sentence about each method that failed, once for each method. `config` has
    the settings of exported files.
    """

    __repr__ = showing(loaded=lambda media: sorted(media._objects))

    def __init__(
        self,
        plugins: Plugins,
        report: Callable[[str], None] | None = None,
        config: Config | None = None,
    ) -> None:
        self._plugins = plugins
        self.signer = FileSigner(config)
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

    def all(self) -> list[RegisteredObject]:
        """Return all registered media types, sorted by name."""
        return self._plugins.objects("media_type")

    def recognised(self, data: bytes) -> list[RegisteredObject]:
        """Return the objects that recognise bytes as one of their types, or as their file."""
        return [
            registered
            for registered in self.all()
            if self._try(registered, "matches", data) or self._try(registered, "matches_file", data)
        ]

    def matches(self, media_type: str, data: bytes) -> bool | None:
        """Return whether bytes are of a media type, or None if no plugin can tell.

        Raises AmbiguousNameError if two plugins register the type.
        """
        registered = self.registered(media_type)
        return None if registered is None else self._try(registered, "matches", data)

    # ---- methods that fall back to None ------------------------------------------------------

    def describe(self, output: Output) -> str | None:
        """Return a short description of an output, or None."""
        description: str | None = self._try_for(output, "describe", output.data)
        return description

    def preview(self, output: Output, columns: int) -> str | None:
        """Return lines for a terminal, in which control characters are not escaped, or None."""
        lines: str | None = self._try_for(output, "preview", output.data, columns)
        return lines

    def to_text(self, output: Output) -> str | None:
        """Return the lines that a pipe gets in place of the JSON of an output, or None."""
        lines: str | None = self._try_for(output, "to_text", output.data)
        return lines

    def compare(self, recorded: Output, again: Output) -> Comparison | None:
        """Return how far two different outputs lie apart, or None.

        Outputs of different media types are not compared.
        """
        if recorded.media_type != again.media_type:
            return None
        result: Comparison | None = self._try_for(recorded, "compare", recorded.data, again.data)
        return result

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
        content = self._try(registered, "fingerprint", data)
        return None if content is None else sha256(content).digest()

    def read_provenance(self, registered: RegisteredObject, data: bytes) -> tuple[Provenance, ...]:
        """Return what a file contains about its generations, of which a combined file has several.

        It is empty if the file contains nothing of this kind. Anyone can change a file, so it is
        not evidence. Raises ProvenanceError if it is invalid.
        """
        text: str | None = self._try(registered, "read_provenance", data)
        if text is None:
            return ()
        from muniment.provenance import from_json

        return from_json(text)

    # ---- files -------------------------------------------------------------------------------

    def export(
        self,
        generation: Generation,
        output: Output,
        suffix: str,
        options: Mapping[str, object],
        *,
        private: bool = False,
    ) -> bytes:
        """Return the file of an output, of the format that `suffix` names, with its provenance.

        The file is signed if a certificate is set. With `private`, it contains neither the prompt
        nor the parameters, nor the manifests of inputs. Raises PluginError if the media type fails,
        or if the file has no provenance or other content. Raises ParameterError for an invalid
        option, and ProvenanceError if the file cannot be signed.
        """
        registered = self._writer(output.media_type)
        values = self.file_options(registered, suffix, options)
        provenance = self.signer.provenance(generation, private=private)
        file: bytes = self._call(registered, "export", output.data, provenance, suffix, values)
        if file == output.data:
            raise _invalid_file(registered, "export", _UNSTAMPED)
        inputs_of = [] if private else [generation]
        signed = self.signer.sign(file, suffix, [provenance], inputs_of, self._report)
        is_signed = signed != file
        if problem := self._file_problem(
            registered, output, provenance, suffix, values, signed, is_signed
        ):
            raise _invalid_file(registered, "export", problem)
        return signed

    def combine(
        self,
        outputs: Sequence[tuple[Generation, Output]],
        suffix: str,
        options: Mapping[str, object],
        *,
        private: bool = False,
        draw: Drawing | None = None,
    ) -> bytes:
        """Return one file that shows outputs of one media type. Raises as `export` does.

        `draw` makes the file in place of the media type, whose errors it raises unchanged.
        """
        registered = self._writer(outputs[0][1].media_type)
        values = self.file_options(registered, suffix, options)
        data = [output.data for _, output in outputs]
        generations = [generation for generation, _ in outputs]
        provenances = [self.signer.provenance(item, private=private) for item in generations]
        file: bytes
        if draw is None:
            file = self._call(registered, "combine", data, provenances, suffix, values)
        else:
            file = draw(provenances, suffix, values)
        if file in data:
            raise _invalid_file(registered, "combine", _UNSTAMPED)
        inputs_of = [] if private else generations
        file = self.signer.sign(file, suffix, provenances, inputs_of, self._report)
        if "read_provenance" in implemented_methods(registered.load_class()):
            ids = {item.id for item in provenances}
            read = {item.id for item in _valid(self._try(registered, "read_provenance", file))}
            if not read or read - ids:
                problem = "a file in which read_provenance() does not find the ids"
                raise _invalid_file(registered, "combine", problem)
            if missing := len(ids - read):
                self._report(f"{suffix} files have no room for {missing:,} of the {len(ids):,} ids")
        return file

    def _file_problem(
        self,
        registered: RegisteredObject,
        output: Output,
        provenance: Provenance,
        suffix: str,
        values: Parameters,
        file: bytes,
        is_signed: bool,
    ) -> str | None:
        """Return what a file is instead of the output with its provenance, or None if it is valid.

        Raises PluginError if a method that reads the file fails.
        """
        declared = registered.load_class()
        methods = implemented_methods(declared)
        if "read_provenance" in methods:
            read = _valid(self._call(registered, "read_provenance", file))
            if [item.id for item in read] != [provenance.id]:
                return "a file in which read_provenance() does not find the id of the generation"
            facts = read[0]
            if facts.prompt != provenance.prompt or facts.parameters != dict(provenance.parameters):
                place = "manifest of the file" if is_signed else f"record of generation {facts.id}"
                self._report(
                    f"the prompt or the parameters are too long for {suffix} files; only the "
                    f"{place} contains them"
                )
        if "fingerprint" in methods and not _alters(declared, suffix, values):
            recorded, exported = (
                self._call(registered, "fingerprint", data) for data in (output.data, file)
            )
            if recorded != exported:
                return f"a {suffix} file with another fingerprint than the recorded output"
        return None

    def file_options(
        self, registered: RegisteredObject, suffix: str, options: Mapping[str, object]
    ) -> Parameters:
        """Return the options of a file of the format that `suffix` names.

        Raises ParameterError for an invalid option, or one that the format does not have.
        """
        values: Parameters = checked_values(registered, registered.load_class().Export, options)
        for name, field in values.fields().items():
            has_option = not field.suffixes or suffix in field.suffixes
            if not has_option and getattr(values, name) != field.default:
                raise ParameterError(
                    name,
                    f"{suffix} files have no {name}; remove --{name.replace('_', '-')}, or use a "
                    f"file that ends in {' or '.join(field.suffixes)}",
                )
        return values

    def _writer(self, media_type: str) -> RegisteredObject:
        registered = self.registered(media_type)
        if registered is None:
            raise PluginError("", f"no installed plugin writes files of {media_type}")
        return registered

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
        items: tuple[Item, ...] = self._call(self._list_type(output), "items", output.data)
        return items

    def select(
        self, output: Output, positions: Sequence[int], expected: tuple[Item, ...]
    ) -> Output:
        """Return a list with only the items at these positions, which are the `expected` ones.

        Raises as `items` does, and SelectionError for a selection that has other items.
        """
        registered = self._list_type(output)
        data = self._call(registered, "select", output.data, positions)
        selection = replace(output, data=data)
        if self.items(selection) != expected:  # one could be an item that a filter blocked
            name = registered.plugin.distribution
            raise SelectionError(
                name,
                f"select() of media type {registered.name!r} of {name} returned other items",
            )
        return selection

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

    def _try_for(self, output: Output, method: str, *arguments: object) -> Any:
        """Call a method of the media type of an output. Return None if that fails."""
        try:
            registered = self.registered(output.media_type)
        except MunimentError as error:
            self._report(str(error))
            return None
        return None if registered is None else self._try(registered, method, *arguments)

    def _try(self, registered: RegisteredObject, method: str, *arguments: object) -> Any:
        """Call a method and check its result. Return None if it is missing or fails."""
        try:
            if method not in implemented_methods(registered.load_class()):
                return None
            return self._call(registered, method, *arguments)
        except (PluginError, ParameterError) as error:
            self._report(str(error))
            return None

    def _call(self, registered: RegisteredObject, method: str, *arguments: object) -> Any:
        """Call a method and check its result. Raise PluginError if it is missing or fails.

        A ParameterError is passed on, since it is about an option that the user chose.
        """
        name = registered.plugin.distribution
        if method not in implemented_methods(registered.load_class()):
            raise PluginError(
                name,
                f"media type {registered.name!r} of {name} has no {method}(); "
                "install a version that has it",
            )
        subject = self._object(registered)
        try:
            with quiet_stdout():
                return validate_media(method, getattr(subject, method)(*arguments))
        except (KeyboardInterrupt, ParameterError):
            raise
        except MunimentError as error:  # a sentence about the data, and no fault of the plugin
            raise PluginError(
                name, escape_unencodable(f"media type {registered.name} of {name}: {error}")
            ) from error
        except BaseException as error:
            raise PluginError(
                name,
                escape_unencodable(
                    f"{method}() of media type {registered.name!r} of {name} failed: "
                    f"{explain(error, registered.plugin.module)}"
                ),
            ) from error

    def _report(self, sentence: str) -> None:
        # The reason of a failure can contain a part of the data, so the beginning is compared.
        key = sentence.partition(" failed: ")[0]
        if key not in self._reported:
            self._reported.add(key)
            self.report(sentence)


def _valid(text: str | None) -> tuple[Provenance, ...]:
    """Return the provenances in the JSON of a file, or none if it is invalid."""
    from muniment.provenance import from_json

    try:
        return from_json(text or "")
    except ProvenanceError:
        return ()


def _alters(declared: type[MediaType], suffix: str, values: Parameters) -> bool:
    """Return whether a file of these options has other content than the recorded output."""
    defaults = declared.Export()
    return suffix in declared.lossy_suffixes or any(
        getattr(values, name) != getattr(defaults, name) for name in declared.altering_options
    )


def _invalid_file(registered: RegisteredObject, method: str, problem: str) -> PluginError:
    name = registered.plugin.distribution
    return PluginError(
        name, f"{method}() of media type {registered.name!r} of {name} returned {problem}"
    )
