"""Files of outputs. The suffix decides the format, and files contain the provenance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import click

from muniment.cli.output import on_terminal, printable_colours, write_data, write_note, write_styled
from muniment.cli.output_file import OutputFile, without_end
from muniment.cli.values import excerpt
from muniment.errors import MunimentError, ParameterError, PluginError, ProvenanceError, UsageError
from muniment.types.generations import Generation
from muniment.types.media_types import is_text_type
from muniment.types.outputs import Output

if TYPE_CHECKING:
    from muniment.cli.context import CliContext
    from muniment.plugins.media import Drawing, MediaTypes
    from muniment.provenance.labels import Language

_PICTURES_AND_SOUND = ("image", "audio", "video", "font")
_LABELLED_TEXTS = ("text/plain", "text/markdown")  # a line more leaves other texts malformed
_SUFFIXES = {"text/plain": ".txt", "text/markdown": ".md"}  # mimetypes has others first


NOT_WRITTEN = (ParameterError, PluginError, ProvenanceError)
"""The errors of a file that cannot be made, which do not affect the recorded bytes."""


class FileFormat:
    """The form in which outputs of one media type leave the store.

    Outputs of a registered media type are written by the `export` of that type, with the
    provenance of their generation. Other text and JSON is written as recorded. The same applies to
    files of the type's `plain_suffixes`, and to everything with `bare`. The visible label of a text
    is a line after it.
    """

    def __init__(
        self,
        media: Callable[[], MediaTypes],
        media_type: str,
        destination: OutputFile | None,
        *,
        bare: bool = False,
        combine: bool = False,
        private: bool = False,
        visible_label: Language | None = None,
        options: Mapping[str, object] | None = None,
    ) -> None:
        """Take the media type, the target (None is stdout) and the options of the file.

        Raises UsageError if the target's suffix names no format that can be written. The same
        applies if the media type cannot write files or has no such option. Raises ProvenanceError
        if the file should be signed, but cannot be.
        """
        self._media, self._options = media, dict(options or {})
        self.combine = combine
        # Standard output gets a file, rather than a form for people, if there are such options.
        self.has_options = bare or private or visible_label is not None or bool(options)
        self.label = ""  # the line after a text
        self._private = private
        self._labelled = visible_label
        self._noticed = False
        self._suffix: str | None = None  # of the exported file, or None for the recorded bytes
        named = destination is not None and not (destination.stdout or destination.special)
        target = destination.target if named and destination else None
        if not bare:
            self._choose_suffix(media_type, target)
        if self._suffix is None:
            self._check_recorded(media_type, target, bare)

    @property
    def exports(self) -> bool:
        """Whether the media type writes the files, rather than the bytes as recorded."""
        return self._suffix is not None

    @property
    def suffix(self) -> str:
        """The suffix of exported files, which is empty for recorded bytes."""
        return self._suffix or ""

    def content(self, generation: Generation, output: Output) -> bytes:
        """Return the bytes of the file of an output.

        Raises PluginError if it cannot be made, ParameterError for an option that the format does
        not have, and ProvenanceError if it cannot be signed. Each names the command that writes the
        recorded bytes.
        """
        if self._suffix is None:
            return self.with_label(output).data
        try:
            file = self._media().export(
                generation, output, self._suffix, self._options, private=self._private
            )
        except NOT_WRITTEN as error:
            raise _without_file(error, generation) from error
        self._write_notice()
        return file

    def combined(
        self, outputs: Sequence[tuple[Generation, Output]], draw: Drawing | None = None
    ) -> bytes:
        """Return the bytes of one file of several outputs. Raises as `content` does.

        `draw` makes the file in place of the media type.
        """
        try:
            file = self._media().combine(
                outputs, self._suffix or "", self._options, private=self._private, draw=draw
            )
        except NOT_WRITTEN as error:
            raise _without_file(error, outputs[0][0]) from error
        self._write_notice()
        return file

    def written_type(self, output: Output) -> str:
        """Return the media type of the bytes of `content` and `combined`."""
        from muniment.plugins.file_signer import SIGNED_TYPES

        if self._suffix is None:
            return output.media_type
        named = SIGNED_TYPES.get(self._suffix) or _named_type(PurePath(f"file{self._suffix}"))
        return named or output.media_type

    def with_label(self, output: Output) -> Output:
        """Return a text with its visible label on a line of its own, or an output unchanged."""
        text = output.text
        if not self.label or text is None:
            return output
        line_end = "" if text.endswith("\n") or not text else "\n"
        return replace(output, data=f"{text}{line_end}{self.label}\n".encode())

    def _write_notice(self) -> None:
        """Print once that files have no signature or no producer, because no setting has one."""
        if not self._noticed and (notice := self._media().signer.notice(self._suffix or "")):
            self._noticed = True
            write_note(notice)

    def _choose_suffix(self, media_type: str, target: PurePath | None) -> None:
        """Choose the format of an exported file. Text and JSON may have none."""
        if media_type.startswith("text/"):  # no plugin is loaded for text
            return
        registered = self._media().registered(media_type)
        if registered is None:
            if is_text_type(media_type):
                return
            raise UsageError(
                f"no installed plugin writes {media_type} with its provenance; use --bare to "
                "write the recorded bytes"
            )
        from muniment.hookspecs import implemented_methods

        declared = registered.load_class()
        method = "combine" if self.combine else "export"
        if method not in implemented_methods(declared) or not declared.suffixes:
            if is_text_type(media_type) and not self.combine:
                return
            remedy = "remove --combine" if self.combine else "use --bare for the recorded bytes"
            raise UsageError(
                f"media type {registered.name} of {registered.plugin.distribution} has no "
                f"{method}(); {remedy}"
            )
        suffix = _suffix_of(target, media_type, declared.suffixes)
        if suffix in declared.plain_suffixes and is_text_type(media_type) and not self.combine:
            return
        if self._labelled is not None:
            if "visible_label" not in declared.Export.fields():
                raise UsageError(
                    f"media type {registered.name} of {registered.plugin.distribution} writes no "
                    "visible label; remove --visible-label"
                )
            self._options["visible_label"] = self._labelled
        self._suffix = suffix
        self._media().file_options(registered, self._suffix, self._options)
        for name in () if self.combine else self._options:
            if declared.Export.fields()[name].combined:
                raise UsageError(
                    f"--{name.replace('_', '-')} has no effect on a file of one output; add "
                    "--combine, or remove it"
                )
        self._media().signer.check(self._suffix)

    def _check_recorded(self, media_type: str, target: PurePath | None, bare: bool) -> None:
        """Raise UsageError for an option of exported files, or a suffix of another format.

        Recorded bytes have neither a prompt nor parameters, so they are private in any case.
        """
        kind = media_type.partition(";")[0].strip()
        named = None if target is None else _named_type(target)
        if self._labelled is not None:
            if bare:
                raise UsageError(
                    "--bare writes the recorded bytes, which have no visible label; remove --bare "
                    "or --visible-label"
                )
            for content in (kind, named or kind):
                if content not in _LABELLED_TEXTS:
                    raise UsageError(
                        f"a line with a label would make {content} invalid; remove --visible-label"
                    )
            from muniment.provenance import visible_label

            self.label = visible_label(self._labelled)
        if self.combine:
            raise UsageError(
                f"recorded outputs of {media_type} cannot be combined; remove --combine"
            )
        if self._options:
            option = next(iter(self._options)).replace("_", "-")
            raise UsageError(f"--{option} has no effect on recorded bytes; remove it")
        if named is None or _plain(named) == _plain(kind):
            return
        if not _may_have_name(kind, named):
            raise UsageError(
                f"cannot write {target}: its suffix names {named}, and the recorded bytes are "
                f"{kind}; use another suffix"
            )


def refuse_without_file(
    options: Iterable[str] = (), *, as_json: bool = False, **flags: object
) -> None:
    """Raise UsageError if there are options of files, or set flags, where no file is written.

    With `as_json`, the record is printed instead.
    """
    for name in (*filter(flags.get, flags), *sorted(options)):
        reason = "has no effect on the record that --json prints" if as_json else "needs a file"
        raise click.UsageError(f"--{name.replace('_', '-')} {reason}; add -o FILE.")


def write(
    destination: OutputFile, file: FileFormat, generation: Generation, number: tuple[int, ...] = ()
) -> None:
    """Write the outputs of a generation, each with `number` and, if several, its own number.

    Raises as `FileFormat.content` does for an output that cannot be exported.
    """
    outputs = generation.outputs
    for index, output in enumerate(outputs, 1):
        numbers = (*number, index) if len(outputs) > 1 else number
        content = file.content(generation, output)
        destination.write(content, numbers, file.written_type(output))


def write_combined(
    destination: OutputFile, file: FileFormat, generations: Sequence[Generation]
) -> None:
    """Write the outputs of generations to one file. Nothing is written without outputs."""
    outputs = [(item, output) for item in generations for output in item.outputs]
    if outputs:
        destination.write(file.combined(outputs), (), file.written_type(outputs[0][1]))


def saving_command(context: CliContext, id: str, media_type: str) -> str:
    """Return the command that writes an output to a file.

    It has `--bare` if no plugin writes the media type, or files cannot be signed here.
    """
    try:
        FileFormat(lambda: context.media, media_type, None)
    except MunimentError:
        return _bare_command(id)
    return f"muniment audit get {id} -o FILE"


def _bare_command(id: str) -> str:
    return f"muniment audit get {id} --bare -o FILE"


def show_media(media: MediaTypes, output: Output) -> None:
    """Print the description of an output that is not text, and its preview on a terminal."""
    if description := media.describe(output):
        write_data(excerpt(description))
    if on_terminal() and (preview := media.preview(output, get_terminal_size().columns)):
        write_styled(printable_colours(preview))


def show_json_as_text(context: CliContext, output: Output) -> bool:
    """Print the form for people of an output that is JSON, and return whether it has one.

    It is the preview on a terminal, and the lines of `to_text` elsewhere.
    """
    if output.text is None or output.media_type.startswith("text/"):
        return False
    if on_terminal():
        preview = context.media.preview(output, get_terminal_size().columns)
        if preview:
            write_styled(printable_colours(preview))
        return bool(preview)
    text = context.media.to_text(output)
    if text is not None:
        write_data(without_end(text))
    return text is not None


def _without_file(
    error: ParameterError | PluginError | ProvenanceError, generation: Generation
) -> MunimentError:
    """Return an error that names the command which writes the recorded bytes of a generation."""
    text = (
        f"{error}; no file was written, and `{_bare_command(generation.id)}` writes the recorded "
        "bytes"
    )
    if isinstance(error, ParameterError):
        return ParameterError(error.name, text)
    if isinstance(error, PluginError):
        return PluginError(error.distribution, text)
    return ProvenanceError(text)


def _suffix_of(target: PurePath | None, media_type: str, suffixes: Sequence[str]) -> str:
    """Return the suffix that a file has, or the default one. Raise UsageError for another."""
    if target is None:
        return suffixes[0]
    for suffix in suffixes:
        if target.name.lower().endswith(suffix.lower()):
            return suffix
    raise UsageError(
        f"cannot write {target}: {media_type} is written to files that end in "
        f"{' or '.join(suffixes)}"
    )


def _named_type(target: PurePath) -> str | None:
    """Return the media type that a suffix names, or None if it names none."""
    from mimetypes import MimeTypes  # its own tables do not depend on the machine

    named = MimeTypes().guess_type(f"file{target.suffix}")[0]
    return None if named == "application/octet-stream" else named


def suffix_of_type(media_type: str) -> str:
    """Return the suffix of a file with the recorded bytes of a media type."""
    from mimetypes import MimeTypes

    kind = media_type.partition(";")[0].strip()
    if kind in _SUFFIXES:
        return _SUFFIXES[kind]
    if found := MimeTypes().guess_extension(kind):
        return found
    if is_text_type(kind):
        return ".txt" if kind.startswith("text/") else ".json"
    return ".bin"


def _may_have_name(kind: str, named: str) -> bool:
    """Return whether recorded bytes of one type may be in a file whose suffix names another."""
    if not is_text_type(kind) or named.partition("/")[0] in _PICTURES_AND_SOUND:
        return False
    return kind.startswith("text/") or named in ("application/json", "text/plain")


def _plain(media_type: str) -> str:
    return media_type.replace("/x-", "/").replace("/vnd.", "/")
