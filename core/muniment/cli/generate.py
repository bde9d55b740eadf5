"""`muniment generate NAME PROMPT`: one command for each generator, its options from its schema."""

from __future__ import annotations

import functools
import sys
from typing import Any

import click

from muniment.cli import exits
from muniment.cli.files import Destination, to_stdout, without_end
from muniment.cli.lazy import no_such
from muniment.cli.options import (
    KeyValue,
    json_option,
    output_option,
    overwrite_option,
    parameters_given,
    policy_option,
    tag_option,
)
from muniment.cli.output import (
    count,
    data,
    data_json,
    ident,
    message,
    on_terminal,
    outcome_sentence,
    printable,
    status_line,
    warn_broken,
)
from muniment.cli.progress import waiting
from muniment.cli.settings import Settings, closing
from muniment.errors import UnknownNameError
from muniment.parameters import Field
from muniment.plugins import Offer
from muniment.types import Generation, Piece

_OWN = "parameter_of_generator_"  # keeps a generator's parameters apart from our own


class _Generators(click.Group):
    """The generators and media kinds that are installed, each as a command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the kinds of media, then the generators."""
        offers = _settings(ctx).session.plugins.offers("generator")
        return list(dict.fromkeys([*_kinds(offers), *(offer.name for offer in offers)]))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Make the command of one generator; raises what `Plugins.generator` raises."""
        if cmd_name.startswith("-"):
            return None
        session = _settings(ctx).session
        warn_broken(session.plugins.broken)
        try:
            offer = session.plugins.generator(cmd_name, session.config.generators())
        except UnknownNameError as error:
            if error.name != cmd_name or error.kind != "generator" or session.plugins.broken:
                raise
            known = self.list_commands(ctx)
            if not known:
                raise UnknownNameError(
                    "generator", cmd_name, hint="no plugin with a generator is installed"
                ) from None
            sentence = no_such("generator", cmd_name, known)
            raise click.UsageError(f"{sentence} There are: {', '.join(known)}.", ctx) from None
        return command_of(cmd_name, offer)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List what can be generated."""
        session = _settings(ctx).session
        warn_broken(session.plugins.broken)
        offers = session.plugins.offers("generator")
        if not offers:
            formatter.write_text("No plugin with a generator is installed.")
            return
        with formatter.section("What can be generated"):
            rows = [(kind, _means(session, kind)) for kind in _kinds(offers)]
            rows += [
                (offer.name, f"{offer.media_type}, by {offer.plugin.distribution}")
                for offer in offers
            ]
            formatter.write_dl(rows)


@click.group(cls=_Generators, options_metavar="", subcommand_metavar="NAME PROMPT [OPTIONS]")
def generate() -> None:
    """Generate text or another kind of output.

    NAME is a generator or a kind of media; its own options are shown by
    `muniment generate NAME --help`.
    """


def command_of(name: str, offer: Offer) -> click.Command:
    """Return the command of a generator: the options all share, then those of its parameters."""
    fixed = _shared_parameters()
    taken = {flag for option in fixed for flag in (*option.opts, *option.secondary_opts)}
    own = [_option(field) for field in offer.parameters.fields().values()]
    free = [option for option in own if not taken & {*option.opts, *option.secondary_opts}]
    return click.Command(
        name,
        callback=functools.partial(_run, name),
        params=[*fixed, *free],
        help=f"Generate {offer.media_type} with {offer.name} "
        f"({offer.plugin.distribution} {offer.plugin.version}).\n\n"
        "PROMPT is text, or - for standard input. A prompt that begins with a hyphen goes "
        "last, after --.",
    )


def _shared_parameters() -> list[click.Parameter]:
    @click.command
    @click.argument("prompt")
    @click.option("-m", "--model", metavar="MODEL", help="An added model, a path or a hub id.")
    @click.option("--system", metavar="TEXT", help="A system prompt.")
    @click.option("--seed", metavar="N", help="From 0 to 2^64-1; drawn when left away.")
    @click.option(
        "-n",
        "samples",
        type=click.IntRange(1, 10_000),
        default=1,
        metavar="COUNT",
        help="How many, each with a seed of its own.",
    )
    @click.option(
        "-p",
        "pairs",
        type=KeyValue(),
        multiple=True,
        metavar="KEY=VALUE",
        help="A parameter of the generator; may be repeated.",
    )
    @policy_option
    @tag_option
    @click.option(
        "--stream/--no-stream",
        default=None,
        help="Show text as it comes, where no filter judges outputs; on a terminal, yes.",
    )
    @output_option
    @overwrite_option
    @json_option
    def shared() -> None:
        """Carry the options."""

    return shared.params


def _run(
    name: str,
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
    from muniment.resolving import Draft

    draft = Draft(
        _from_stdin() if prompt == "-" else prompt,
        generator=name,
        model=model,
        system=system,
        seed=seed,
        parameters=parameters_given(
            pairs, {key.removeprefix(_OWN): value for key, value in own.items()}
        ),
        tags=tags,
    )
    destination = None
    if output is not None:
        destination = Destination(output, overwrite=overwrite, count=samples)
    if stream is None:
        stream = on_terminal()
    # Pieces of several texts would mix, and JSON and files want the whole.
    stream = stream and samples == 1 and not as_json and destination is None
    shower = _Shower(samples, destination, as_json)
    session = _settings(click.get_current_context()).session
    answers = session.run([draft], samples_each=samples, policy=policy, stream=stream)
    with closing(answers) as items, waiting("generating …") as arrived:
        for item in items:
            arrived()
            shower.show(item)
    return shower.code


class _Shower:
    """Shows pieces and generations as they come, and keeps the worst exit code."""

    def __init__(self, total: int, destination: Destination | None, as_json: bool) -> None:
        self.code = exits.DONE
        self._total = total
        self._destination = destination
        self._as_json = as_json
        self._number = 0
        self._streamed = ""

    def show(self, item: Generation | Piece) -> None:
        """Show what the pipeline gave."""
        if isinstance(item, Piece):
            self._streamed += item.text
            click.echo(printable(item.text) if on_terminal() else item.text, nl=False)
            return
        self._number += 1
        self.code = exits.worst((self.code, exits.of_status(item.status)))
        if self._as_json:
            data_json(item.to_json())
        elif self._destination is None:
            self._to_stdout(item)
        if self._destination is not None:
            self._to_files(item, self._destination)
        if item.status != "completed":
            message(outcome_sentence(item))
        if not self._as_json:
            message(status_line(item))

    def _to_stdout(self, item: Generation) -> None:
        if self._streamed:
            rest = item.text.removeprefix(self._streamed)
            if item.text.startswith(self._streamed):
                data(without_end(rest))
            elif item.status == "completed":  # the pieces were not what the answer became
                data(f"\n{without_end(item.text)}")
            else:
                data()
            return
        if self._total > 1:
            data(f"--- {self._number} of {self._total} ---")
        for output in item.outputs:
            to_stdout(output, ident(item.id))

    def _to_files(self, item: Generation, destination: Destination) -> None:
        for index, output in enumerate(item.outputs, 1):
            number = (self._number,) if self._total > 1 else ()
            destination.write(output, (*number, index) if len(item.outputs) > 1 else number)


def _option(field: Field) -> click.Option:
    flag = f"--{field.name.replace('_', '-')}"
    declarations = [_OWN + field.name, flag]
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
    facts = []
    low, high = (None if bound is None else _number(bound) for bound in (field.ge, field.le))
    if low is not None and high is not None:
        facts.append(f"{low} to {high}")
    elif low is not None:
        facts.append(f"at least {low}")
    elif high is not None:
        facts.append(f"at most {high}")
    if field.type == "strings":
        facts.append("may be repeated")
    elif field.default is not None and field.default != "":
        default = str(field.default)
        facts.append(f"default: {default.lower() if field.type == 'boolean' else default}")
    text = field.help[:1].upper() + field.help[1:]
    return f"{text}  [{'; '.join(facts)}]" if facts else text


def _number(bound: float) -> str:
    return f"{int(bound)}" if bound == int(bound) else f"{bound:g}"


def _from_stdin() -> str:
    from muniment.errors import PromptError

    raw = sys.stdin.buffer.read().removeprefix(b"\xef\xbb\xbf")
    if not raw:
        raise PromptError("standard input was empty; there is no prompt")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise PromptError(
            f"standard input is not valid UTF-8 (at byte {error.start + 1}); save it as UTF-8"
        ) from None
    return text.removesuffix("\n").removesuffix("\r")


def _kinds(offers: list[Offer]) -> list[str]:
    return sorted({offer.media_type.partition("/")[0] for offer in offers})


def _means(session: Any, kind: str) -> str:
    from muniment.errors import MunimentError

    try:
        return f"what {session.plugins.generator(kind, session.config.generators()).name} makes"
    except MunimentError:
        choices = [
            offer
            for offer in session.plugins.offers("generator")
            if offer.media_type.startswith(f"{kind}/")
        ]
        return f"{count(len(choices), 'generator')}; `muniment config set generator.{kind} NAME`"


def _settings(ctx: click.Context) -> Settings:
    settings = ctx.find_object(Settings)
    return settings if settings is not None else Settings()
