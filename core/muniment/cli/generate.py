"""`muniment generate NAME PROMPT`, with one command and the options of each generator."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import sys
from collections.abc import Generator, Mapping
from typing import Any

import click

import muniment
from muniment.cli import exit_codes
from muniment.cli.context import context_of
from muniment.cli.lazy import no_such, with_checked_parser
from muniment.cli.options import (
    isolate_option,
    json_option,
    model_option,
    output_option,
    overwrite_option,
    pairs_option,
    parameters_given,
    policy_option,
    tag_option,
)
from muniment.cli.output import (
    on_terminal,
    outcome_sentence,
    pluralize,
    printable,
    short_id,
    status_line,
    warn_broken,
    write_data,
    write_json,
    write_note,
)
from muniment.cli.output_file import OutputFile, input_path, to_stdout, without_end
from muniment.cli.plugins_list import gone_plugins
from muniment.cli.progress import waiting
from muniment.errors import MunimentError, PromptError, UnknownNameError
from muniment.parameters import Field
from muniment.plugins.registry import RegisteredObject
from muniment.plugins.state import distributions
from muniment.types import Chunk, Generation


class _Generators(click.Group):
    """The installed generators and media kinds, each as a command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the media kinds, then the generators."""
        objects = context_of(ctx).session.plugins.objects("generator")
        return list(dict.fromkeys([*_kinds(objects), *(registered.name for registered in objects)]))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve the generator after reading `--isolate`, because its plugin is loaded here."""
        if "--isolate" in itertools.takewhile(lambda arg: arg != "--", args):
            context_of(ctx).isolate = True
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
                return command_of(cmd_name, registered)
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
        return command_of(cmd_name, registered)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the media kinds and generators."""
        session = context_of(ctx).session
        warn_broken(session.plugins.load())
        objects = session.plugins.objects("generator")
        if not objects:
            formatter.write_text("No plugin with a generator is installed.")
            return
        with formatter.section("Generators and media kinds"):
            names = {registered.name for registered in objects}
            rows = [
                (kind, _default_of(session, kind)) for kind in _kinds(objects) if kind not in names
            ]
            rows += [
                (registered.name, f"{registered.media_type}, by {registered.plugin.distribution}")
                for registered in objects
            ]
            formatter.write_dl(rows)


@click.group(cls=_Generators, options_metavar="", subcommand_metavar="NAME PROMPT [OPTIONS]")
def generate() -> None:
    """Generate text or another kind of output.

    NAME is a generator or a media kind. `muniment generate NAME --help` shows its options.
    A packaged model that the generation needs is added first.
    """


def command_of(name: str, registered: RegisteredObject) -> click.Command:
    """Return the command of a generator, with the shared options and those of its parameters."""
    fixed = _shared_parameters()
    taken = {flag for option in fixed for flag in (*option.opts, *option.secondary_opts)}
    own = [_parameter_option(field) for field in registered.parameters.fields().values()]
    free = [option for option in own if not taken & {*option.opts, *option.secondary_opts}]
    return click.Command(
        name,
        callback=functools.partial(_run, name, registered.parameters.fields()),
        params=[*fixed, *free],
        help=f"Generate {registered.media_type} with {registered.name} "
        f"({registered.plugin.distribution} {registered.plugin.version}).\n\n"
        "PROMPT is text, or - for standard input. Write a prompt that begins with a hyphen "
        "last, after --.",
    )


def _shared_parameters() -> list[click.Parameter]:
    @click.command
    @click.argument("prompt")
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
    @pairs_option("Parameter of the generator; may be repeated.")
    @policy_option
    @tag_option
    @isolate_option
    @click.option(
        "--stream/--no-stream",
        default=None,
        help="Show text while it is generated, unless a filter checks outputs. "
        "Default on a terminal.",
    )
    @output_option
    @overwrite_option
    @json_option
    def shared() -> None:
        """Declare the shared options."""

    return shared.params


def _run(
    name: str,
    fields: Mapping[str, Field],
    prompt: str,
    model: str | None,
    system: str | None,
    seed: str | None,
    samples: int,
    pairs: tuple[tuple[str, str], ...],
    policy: str | None,
    tags: tuple[str, ...],
    stream: bool | None,
    output: str | None,
    overwrite: bool,
    as_json: bool,
    **own: Any,
) -> int:
    spec = muniment.GenerationSpec(
        _from_stdin() if prompt == "-" else prompt,
        generator=name,
        model=model,
        system=system,
        seed=seed,
        parameters=parameters_given(
            pairs, fields, {key.removeprefix(_PREFIX): value for key, value in own.items()}
        ),
        tags=tags,
    )
    destination = None
    if output is not None:
        inputs = [policy, model and os.path.expanduser(model)]
        inputs += [input_path("-")] if prompt == "-" else []
        destination = OutputFile(output, overwrite=overwrite, count=samples, inputs=inputs)
    # Chunks of several texts would mix, and JSON and files need complete texts.
    complete = samples > 1 or as_json or destination is not None
    stream = not complete and (on_terminal() if stream is None else stream)
    session = context_of(click.get_current_context()).session
    answers = session.run([spec], samples_each=samples, policy=policy, stream=stream)
    return _present(answers, samples, destination, as_json)


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
        return f"the generator {session.plugins.generator(kind, session.config.generators()).name}"
    except MunimentError:
        choices = [
            registered
            for registered in session.plugins.objects("generator")
            if registered.media_type.startswith(f"{kind}/")
        ]
        return (
            f"{pluralize(len(choices), 'generator')}; `muniment config set generator.{kind} NAME`"
        )


def _present(
    answers: Generator[Generation | Chunk, None, None],
    total: int,
    destination: OutputFile | None,
    as_json: bool,
) -> int:
    """Print chunks and generations as they arrive, and return the most severe exit code."""
    code, number, streamed = exit_codes.DONE, 0, ""
    with contextlib.closing(answers) as items, waiting("generating …") as arrived:
        for item in items:
            arrived()
            if isinstance(item, Chunk):
                streamed += item.text
                click.echo(printable(item.text) if on_terminal() else item.text, nl=False)
                continue
            number += 1
            code = exit_codes.worst((code, exit_codes.of_status(item.status)))
            if as_json:
                write_json(item)
            elif destination is None:
                heading = f"--- {number} of {total} ---" if total > 1 else ""
                _to_stdout(item, streamed, heading)
            if destination is not None:
                destination.write_all(item.outputs, (number,) if total > 1 else ())
            if item.status != "completed":
                write_note(outcome_sentence(item))
            if not as_json:
                write_note(status_line(item))
    return code


def _to_stdout(item: Generation, streamed: str, heading: str) -> None:
    """Print the outputs of a generation, without the beginning that was streamed."""
    if streamed:
        write_data(without_end(item.text.removeprefix(streamed)))
        return
    if heading:
        write_data(heading)
    for output in item.outputs:
        to_stdout(output, short_id(item.id))


_PREFIX = "parameter_of_generator_"  # avoids clashes with the command's own options


def _parameter_option(field: Field) -> click.Option:
    """Return the option that sets a parameter, which parses the text itself."""
    flag = f"--{field.name.replace('_', '-')}"
    declarations = [_PREFIX + field.name, flag]
    extra: dict[str, Any] = {"help": _help(field)}
    if field.type == "boolean":
        declarations[1] = f"{flag}/--no-{flag.removeprefix('--')}"
        extra["default"] = None
    elif field.type == "choice":
        extra["type"] = click.Choice(field.choices)
    else:
        extra["metavar"] = {"integer": "N", "number": "X"}.get(field.type, "TEXT")
        extra["multiple"] = field.type == "strings"
    return click.Option(declarations, **extra)


def _help(field: Field) -> str:
    facts = [field.range] if field.range else []
    if field.type == "strings":
        facts.append("may be repeated")
    elif field.default is not None and field.default != "":
        default = str(field.default)
        facts.append(f"default: {default.lower() if field.type == 'boolean' else default}")
    text = field.help[:1].upper() + field.help[1:]
    return f"{text}  [{'; '.join(facts)}]" if facts else text
