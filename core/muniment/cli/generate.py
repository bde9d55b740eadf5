"""`muniment generate NAME PROMPT`, with one command and the options of each generator."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import click

import muniment
from muniment.cli import exit_codes
from muniment.cli.context import context_of
from muniment.cli.interruption import full_disk_as_error, new_run
from muniment.cli.items import write_notes
from muniment.cli.lazy import no_such, with_checked_parser
from muniment.cli.media_files import (
    NOT_WRITTEN,
    FileFormat,
    refuse_without_file,
    show_json_as_text,
    show_media,
    write,
    write_combined,
)
from muniment.cli.options import (
    bare_option,
    combine_option,
    evaluate_option,
    input_option,
    inputs_given,
    isolate_option,
    json_option,
    model_option,
    output_option,
    overwrite_option,
    pairs_option,
    parameters_given,
    policy_option,
    private_option,
    tag_option,
    visible_label_option,
)
from muniment.cli.output import (
    on_terminal,
    one_line,
    outcome_sentence,
    printable,
    short_id,
    status_line,
    warn_broken,
    write_data,
    write_json,
    write_note,
)
from muniment.cli.output_file import (
    OutputFile,
    content_to_stdout,
    input_path,
    to_stdout,
    without_end,
)
from muniment.cli.parameter_options import (
    FILE,
    INPUT,
    PARAMETER,
    file_options,
    flags,
    parameter_option,
    refuse_clash,
    take_values,
)
from muniment.cli.plugins_list import gone_plugins
from muniment.cli.progress import waiting
from muniment.cli.translation import gettext, ngettext, translate, translated, translated_option
from muniment.errors import (
    MunimentError,
    PromptError,
    UnknownNameError,
)
from muniment.plugins.registry import RegisteredObject
from muniment.plugins.state import distributions
from muniment.types import Chunk, Generation, InputSpec

if TYPE_CHECKING:
    from muniment.provenance.labels import Language


class _Generators(click.Group):
    """The installed generators and media kinds, each as a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. Those that begin with `--like` get the recorded generator's name.

        `--isolate` is read first, because plugins are loaded to find the generator.
        """
        if "--isolate" in itertools.takewhile(lambda arg: arg != "--", args):
            context_of(ctx).isolate = True
        option, equals, reference = args[0].partition("=") if args else ("", "", "")
        if option == "--like":
            if not equals:
                reference = args[1] if len(args) > 1 else ""
            if not reference:
                raise click.BadOptionUsage("like", "Option '--like' requires an argument.", ctx)
            from muniment.cli.like import generator_of  # imports the store

            generator = generator_of(ctx, reference)
            rest = args[1:] if equals else args[2:]
            args = [generator, option, reference, *rest]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the media kinds, then the generators."""
        objects = context_of(ctx).session.plugins.objects("generator")
        return list(dict.fromkeys([*_kinds(objects), *(registered.name for registered in objects)]))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve the generator, and refuse options that are given twice."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and with_checked_parser(command), rest

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a generator. Raise as `Plugins.generator` does."""
        if cmd_name.startswith("-"):
            return None
        session = context_of(ctx).session
        if ctx.resilient_parsing:  # shell completion
            with contextlib.suppress(MunimentError):
                registered = session.plugins.generator(cmd_name, session.config.generators())
                return translated(command_of(cmd_name, registered))
            return None
        warn_broken(session.plugins.load())
        try:
            registered = session.plugins.generator(cmd_name, session.config.generators())
        except UnknownNameError as error:
            unloaded = session.plugins.broken or session.plugins.disabled
            if error.name != cmd_name or error.kind != "generator" or unloaded:
                raise
            # A plugin that is disabled, or only adds commands, is installed too.
            if hint := gone_plugins(context_of(ctx), set(distributions())):
                raise UnknownNameError("generator", cmd_name, hint=hint) from None
            available = self.list_commands(ctx)
            if not available:
                raise UnknownNameError(
                    "generator", cmd_name, hint="no plugin with a generator is installed"
                ) from None
            sentence = no_such("generator", cmd_name, available)
            raise click.UsageError(f"{sentence} Available: {', '.join(available)}.", ctx) from None
        media_type = None
        if not registered.media_type.startswith("text/"):
            media_type = session.media.registered(registered.media_type)
        return translated(command_of(cmd_name, registered, media_type))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the media kinds and generators."""
        session = context_of(ctx).session
        warn_broken(session.plugins.load())
        objects = session.plugins.objects("generator")
        if not objects:
            formatter.write_text(gettext("No plugin with a generator is installed."))
            return
        with formatter.section(gettext("Generators and media kinds")):
            names = {registered.name for registered in objects}
            rows = [
                (kind, _default_of(session, kind)) for kind in _kinds(objects) if kind not in names
            ]
            by = gettext("{media_type}, by {distribution}")
            rows += [
                (
                    item.name,
                    by.format(media_type=item.media_type, distribution=item.plugin.distribution),
                )
                for item in objects
            ]
            formatter.write_dl(rows)


@click.group(cls=_Generators, options_metavar="", subcommand_metavar="NAME PROMPT [OPTIONS]")
def generate() -> None:
    """Generate text or another kind of output.

    NAME is a generator or a media kind. `muniment generate NAME --help` shows its options.
    A packaged model that the generation needs is added first. `muniment generate --like ID`
    repeats a recorded request, with the same options to change it. FILE, an exported file, can
    stand for ID.
    """


def command_of(
    name: str, registered: RegisteredObject, media_type: RegisteredObject | None = None
) -> click.Command:
    """Return the command of a generator, with the shared options and those of its parameters.

    The options of the files of its media type are added. Raises UsageError if an option of both
    has one name.
    """
    refuse_clash(registered, media_type)
    fixed = _shared_parameters(registered.prompt == "optional")
    taken = {flag for option in fixed for flag in (*option.opts, *option.secondary_opts)}
    fields = registered.parameters.fields().values()
    distribution = registered.plugin.distribution
    own = [
        translated_option(option, distribution)
        for option in (parameter_option(field, PARAMETER, taken) for field in fields)
    ]
    own += [_input_option(spec, distribution) for spec in registered.inputs if spec.option]
    own += file_options(media_type)
    free = [option for option in own if not taken & flags([option]).keys()]
    return click.Command(
        name,
        callback=functools.partial(_run, name, registered),
        params=[*fixed[:1], *free, *fixed[1:]],
        help="\n\n".join(
            [
                gettext("Generate {output} with {generator} ({distribution} {version}).").format(
                    output=_noun(registered, media_type),
                    generator=registered.name,
                    distribution=distribution,
                    version=registered.plugin.version,
                ),
                gettext(
                    "PROMPT is text, or - for standard input. It is not needed with --like. Write "
                    "a prompt that begins with a hyphen last, after --."
                ),
                *(_described(spec, distribution) for spec in registered.inputs if not spec.option),
            ]
        ),
    )


def _noun(registered: RegisteredObject, media_type: RegisteredObject | None) -> str:
    """Return the media type of a generator's outputs, after its name if a plugin handles it."""
    if media_type is None:
        return registered.media_type
    return f"{media_type.name} ({registered.media_type})"


def _shared_parameters(optional_prompt: bool) -> list[click.Parameter]:
    @click.command
    @click.argument("prompt", required=False, metavar="[PROMPT]" if optional_prompt else "PROMPT")
    @model_option("Name of an added or packaged model, path, or hub id.")
    @click.option("--system", metavar="TEXT", help="A system prompt.")
    @click.option("--seed", metavar="N", help="0 to 2^64-1; random if omitted.")
    @click.option(
        "-n",
        "samples",
        type=click.IntRange(1, 10_000),
        default=1,
        metavar="COUNT",
        help="Number of generations, each with its own seed.",
    )
    @click.option(
        "--like",
        metavar="ID|FILE",
        help="Recorded request to repeat, by the generation's id or an exported file. Its prompt "
        "and seed apply unless they are given.",
    )
    @pairs_option("Parameter of the generator; may be repeated.")
    @input_option("File, or id of a generation, for an input; may be repeated.")
    @policy_option
    @tag_option
    @evaluate_option
    @isolate_option
    @click.option(
        "--stream/--no-stream",
        default=None,
        help="Show text while it is generated, unless a filter checks outputs. "
        "Default on a terminal.",
    )
    @output_option
    @overwrite_option
    @bare_option
    @combine_option
    @private_option
    @visible_label_option
    @json_option
    def shared() -> None:
        """Declare the shared options."""

    return shared.params


def _run(
    name: str,
    registered: RegisteredObject,
    prompt: str | None,
    model: str | None,
    system: str | None,
    seed: str | None,
    samples: int,
    pairs: tuple[tuple[str, str], ...],
    inputs: tuple[tuple[str, str], ...],
    policy: str | None,
    tags: tuple[str, ...],
    like: str | None,
    evaluate: tuple[str, ...],
    stream: bool | None,
    output: str | None,
    overwrite: bool,
    bare: bool,
    combine: bool,
    private: bool,
    visible_label: Language | None,
    as_json: bool,
    **own: Any,
) -> int:
    file_values = take_values(own, FILE)
    session = context_of(click.get_current_context()).session
    fields = registered.parameters.fields()
    given: dict[str, Any] = {
        "prompt": _from_stdin() if prompt == "-" else prompt,
        "model": model,
        "system": system,
        "seed": seed,
        "parameters": parameters_given(pairs, fields, take_values(own, PARAMETER)),
        "tags": tags,
        "inputs": inputs_given(inputs, take_values(own, INPUT)),
    }
    if like is None:
        spec = muniment.GenerationSpec(generator=name, **given)
    else:
        from muniment.cli.like import spec_like

        changes = {key: value for key, value in given.items() if value is not None}
        spec = spec_like(click.get_current_context(), like, name, registered, changes)
    destination = file = None
    if output is not None:
        models = [spec.parameters.get(name) for name, field in fields.items() if field.model]
        files = [policy, *(str(path) for path in (model, *models) if path)]
        files += [source for source in spec.inputs.values() if isinstance(source, str)]
        files += [input_path("-")] if prompt == "-" else []
        count = 1 if combine else samples
        destination = OutputFile(
            output,
            overwrite=overwrite,
            count=count,
            inputs=map(os.path.expanduser, filter(None, files)),
        )
    # A terminal gets texts as a file would, and only a description of other outputs.
    is_text = registered.media_type.startswith("text/")
    writes = destination is not None or not (as_json or (on_terminal() and not is_text))
    if destination is None:
        refuse_without_file(combine=combine)
    if writes:
        file = FileFormat(
            lambda: session.media,
            registered.media_type,
            destination,
            bare=bare,
            combine=combine,
            private=private,
            visible_label=visible_label,
            options=file_values,
        )
    else:
        refuse_without_file(
            file_values, as_json=as_json, private=private, visible_label=visible_label
        )
    # Chunks of several texts would mix, and JSON and files need complete texts.
    complete = (
        samples > 1 or as_json or destination is not None or (file is not None and file.exports)
    )
    stream = not complete and (on_terminal() if stream is None else stream)
    with new_run(session) as run:
        answers = session.run(
            [spec],
            samples_each=samples,
            policy=policy,
            stream=stream,
            run_id=run,
            evaluate=evaluate or None,
        )
        # A heading between several JSON documents or pictures would make them invalid.
        headings = is_text or on_terminal()
        return _present(answers, samples, destination, file, as_json, headings)


def _from_stdin() -> str:
    raw = sys.stdin.buffer.read().removeprefix(b"\xef\xbb\xbf")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise PromptError(
            f"standard input is not valid UTF-8 (at byte {error.start + 1}); save it as UTF-8"
        ) from None
    return text.removesuffix("\n").removesuffix("\r")


def _kinds(objects: list[RegisteredObject]) -> list[str]:
    return sorted({registered.media_type.partition("/")[0] for registered in objects})


def _default_of(session: Any, kind: str) -> str:
    try:
        found = session.plugins.generator(kind, session.config.generators())
        return gettext("the generator {name}").format(name=found.name)
    except MunimentError:
        choices = [
            registered
            for registered in session.plugins.objects("generator")
            if registered.media_type.startswith(f"{kind}/")
        ]
        template = ngettext(
            "{number} generator; `muniment config set generator.{kind} NAME`",
            "{number} generators; `muniment config set generator.{kind} NAME`",
            len(choices),
        )
        return template.format(number=len(choices), kind=kind)


def _present(
    answers: Generator[Generation | Chunk, None, None],
    total: int,
    destination: OutputFile | None,
    file: FileFormat | None,
    as_json: bool,
    headings: bool,
) -> int:
    """Print chunks and generations as they arrive, and return the most severe exit code.

    With `headings`, each of several generations has a line with its number above it.
    """
    code, streamed = exit_codes.DONE, ""
    done: list[Generation] = []
    with contextlib.closing(answers) as items, waiting("generating …") as arrived:
        for item in items:
            arrived()
            if isinstance(item, Chunk):
                streamed += item.text
                with full_disk_as_error(item.request_id):
                    click.echo(printable(item.text) if on_terminal() else item.text, nl=False)
                continue
            done.append(item)
            code = exit_codes.worst((code, exit_codes.of_status(item.status)))
            try:
                with full_disk_as_error(item.id):
                    if as_json:
                        write_json(item)
                    elif destination is None:
                        if total > 1 and headings:
                            write_data(f"--- {len(done)} of {total} ---")
                        _to_stdout(item, file, streamed, of_several=total > 1)
                    if destination is not None and file is not None and not file.combine:
                        write(destination, file, item, (len(done),) if total > 1 else ())
            except NOT_WRITTEN as error:
                code = exit_codes.worst((code, exit_codes.of_error(error)))
                write_note(f"Error: {one_line(str(error))}")
            write_notes(item)
            if item.status != "completed":
                write_note(outcome_sentence(item))
            if not as_json:
                write_note(status_line(item))
    if destination is not None and file is not None and file.combine:
        write_combined(destination, file, done)
    return code


def _to_stdout(
    item: Generation, file: FileFormat | None, streamed: str, *, of_several: bool
) -> None:
    """Print the outputs of a generation, without the beginning that was streamed.

    In a pipe, an empty line ends each of several lists.
    """
    if streamed:
        write_data(without_end(item.text.removeprefix(streamed)))
        if file is not None and file.label:
            write_data(file.label)
        return
    context = context_of(click.get_current_context())
    for output in item.outputs:
        wants_file = file is not None and file.has_options
        if not wants_file and show_json_as_text(context, output):
            if of_several and not on_terminal():
                write_data()
            continue
        if file is not None and file.exports:
            content, media_type = file.content(item, output), file.written_type(output)
            content_to_stdout(content, media_type, of_several=of_several)
            continue
        to_stdout(output if file is None else file.with_label(output), short_id(item.id))
        if on_terminal() and output.text is None:
            show_media(context.media, output)


def _input_option(spec: InputSpec, distribution: str) -> click.Option:
    """Return the option of its own that an input has, for a text or for the path of a file."""
    flag, metavar = spec.option.split(" ")
    return click.Option(
        [INPUT + spec.name, flag],
        metavar=metavar,
        type=str.encode if metavar == "TEXT" else str,
        help=_described(spec, distribution),
    )


def _described(spec: InputSpec, distribution: str) -> str:
    """Return a sentence with the name, help, media types and maximum size of an input."""
    template = gettext("Input {name}: {help} ({types}, at most {size} bytes).")
    if not spec.help:
        template = gettext("Input {name}: ({types}, at most {size} bytes).")
    return template.format(
        name=spec.name,
        help=translate(spec.help, distribution),
        types=gettext(" or ").join(spec.media_types),
        size=f"{spec.max_bytes:,}",
    )
