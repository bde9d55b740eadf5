"""The command `muniment audit get`."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from muniment.cli.context import CliContext, context_of
from muniment.cli.items import selection_of
from muniment.cli.media_files import (
    FileFormat,
    refuse_without_file,
    saving_command,
    show_media,
    write,
    write_combined,
)
from muniment.cli.options import (
    bare_option,
    combine_option,
    isolate_option,
    output_option,
    overwrite_option,
    private_option,
    visible_label_option,
)
from muniment.cli.output import on_terminal, write_note
from muniment.cli.output_file import OutputFile, to_stdout
from muniment.cli.parameter_options import FILE, file_options, take_values
from muniment.cli.values import short_id
from muniment.errors import MunimentError, UnknownNameError, VerificationError
from muniment.types.generations import Generation
from muniment.types.outputs import Output

if TYPE_CHECKING:
    from muniment.plugins.media import MediaTypes
    from muniment.provenance.labels import Language
    from muniment.store import Store

_NOTES = {
    "blocked": "this output was blocked",
    "interrupted": "this output is incomplete because the generation was interrupted",
    "failed": "this output is incomplete because the generation failed",
}


class _Get(click.Command):
    """`audit get`, with the file options of all media types where one of them is used.

    Plugins are loaded only for such an option and for help.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Add the file options if there is an option that the command does not declare."""
        before_end = list(itertools.takewhile(lambda arg: arg != "--", args))
        used = {arg.partition("=")[0] for arg in before_end if arg.startswith("--")}
        declared = {flag for option in self.params for flag in option.opts}
        if "--isolate" in used:  # before the plugins are loaded
            context_of(ctx).isolate = True
        if used - declared:
            options = _file_options(context_of(ctx).media)
            ctx.meta[_FILE_OPTIONS] = [item for item in options if item.opts[0] not in declared]
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the options, `--help` last."""
        *own, last = super().get_params(ctx)
        return [*own, *ctx.meta.get(_FILE_OPTIONS, ()), last]


_FILE_OPTIONS = "muniment.file_options"


def _file_options(media: MediaTypes) -> list[click.Option]:
    """Return the file options of all media types. Two types share an option of one name."""
    options: dict[str, click.Option] = {}
    for registered in media.all():
        options = {str(option.name): option for option in file_options(registered)} | options
    return list(options.values())


@click.command(cls=_Get)
@click.argument("reference", metavar="ID")
@click.option("--input", "name", metavar="NAME", help="Name of an input to get instead.")
@click.option("--candidates", is_flag=True, help="All items of a list, not only the selected ones.")
@output_option
@overwrite_option
@bare_option
@combine_option
@private_option
@visible_label_option
@isolate_option
@click.pass_obj
def get(
    context: CliContext,
    /,
    reference: str,
    name: str | None,
    candidates: bool,
    output: str | None,
    overwrite: bool,
    bare: bool,
    combine: bool,
    private: bool,
    visible_label: Language | None,
    **own: Any,
) -> None:
    """Get the output of a generation, with its provenance.

    The suffix of FILE decides the format. The media type of the output writes the provenance into
    the file: the id, the prompt, the seed, the model and more. Text is written as recorded, and so
    is JSON unless its media type writes the format. Of a list, the selection is written that its
    caller got. Without -o, the output goes to standard output.

    The option --private leaves the prompt and the parameters out of the file. The option
    --visible-label adds a label for readers to a picture or a text. The option --bare writes
    exactly the recorded bytes of any output. The option --input writes those of an input.

    -o numbers the files of several outputs, and --combine writes them to one file. A message on
    standard error marks a blocked or incomplete output.
    """
    store = context.store
    generation = store.generation(store.find(reference))
    if name is not None:
        flags = {"bare": bare, "combine": combine, "candidates": candidates}
        flags |= {"private": private, "visible_label": visible_label is not None}
        for option in (*filter(flags.get, flags), *take_values(own, FILE)):
            raise click.UsageError(f"--{option.replace('_', '-')} has no effect on an input.")
        _write_input(store, generation, name, output, overwrite)
        return
    selection = generation if candidates else selection_of(context, generation)
    outputs = selection.outputs
    if "entry" in generation.altered:
        _raise_if_gone(store, generation, "entry", "output")
    if not outputs:
        raise MunimentError(
            f"generation {generation.id} has no output because its status is {generation.status}; "
            "run `muniment audit show` for details"
        )
    _raise_if_gone(store, generation, "output", "output")
    if candidates and not any(_is_list(context, output) for output in outputs):
        raise click.UsageError("--candidates has no effect on an output that is not a list.")
    if len(outputs) > 1 and output in (None, "-") and not combine:
        raise click.UsageError(
            f"the generation has {len(outputs)} outputs; use -o FILE to write each to a file."
        )
    options = take_values(own, FILE)
    shows = output is None and on_terminal()
    command = partial(saving_command, context, short_id(generation.id), outputs[0].media_type)
    if shows and not outputs[0].media_type.startswith("text/"):
        refuse_without_file(options, private=private, visible_label=visible_label)
        if outputs[0].text is None:
            show_media(context.media, outputs[0])
        to_stdout(outputs[0], command)
    else:
        count = 1 if combine else len(outputs)
        path = output if output is not None else "-"
        destination = OutputFile(path, overwrite=overwrite, count=count)
        file = FileFormat(
            lambda: context.media,
            outputs[0].media_type,
            destination,
            bare=bare,
            combine=combine,
            private=private,
            visible_label=visible_label,
            options=options,
        )
        if shows:
            to_stdout(file.with_label(outputs[0]), command)
        elif combine:
            write_combined(destination, file, [selection])
        else:
            write(destination, file, selection)
    if note := _NOTES.get(generation.status):
        identifier = short_id(generation.id, "stderr")
        write_note(f"{note}; run `muniment audit show {identifier}` for details")


def _is_list(context: CliContext, output: Output) -> bool:
    return output.kept is not None or context.media.is_list(output.media_type)


def _write_input(
    store: Store, generation: Generation, name: str, output: str | None, overwrite: bool
) -> None:
    """Write the recorded bytes of an input to the file of `-o`, or to stdout."""
    item = next((item for item in generation.inputs if item.name == name), None)
    if item is None:
        known = [item.name for item in generation.inputs]
        raise UnknownNameError("input", name, known, f"generation {generation.id} does not have it")
    if not item.data:  # another input may be erased or altered
        _raise_if_gone(store, generation, "input", f"input {name}")
    content = Output(item.media_type, item.data)
    if output is None and on_terminal():
        command = f"muniment audit get {short_id(generation.id)} --input {name} -o FILE"
        to_stdout(content, lambda: command)
    else:
        path = output if output is not None else "-"
        OutputFile(path, overwrite=overwrite).write(item.data, (), item.media_type)


def _raise_if_gone(store: Store, generation: Generation, kind: str, what: str) -> None:
    """Raise MunimentError if the payloads of a kind are missing, or VerificationError if changed.

    `what` names the content in the message.
    """
    if kind in generation.erased:
        if store.erasures.has(generation.id, kind):
            raise MunimentError(
                f"the {what} of generation {generation.id} was erased; run `muniment audit show "
                f"{generation.id}` for what remains"
            )
        raise MunimentError(
            f"the {what} of generation {generation.id} is missing, and no entry records its "
            "erasure; run `muniment audit verify --payloads` to find all missing texts"
        )
    if kind in generation.altered:
        raise VerificationError(
            f"the {what} of generation {generation.id} was changed after it was recorded; run "
            "`muniment audit verify --payloads` to find all changes"
        )
