"""The group of commands with one command for each generator, and what these commands share."""

from __future__ import annotations

import contextlib
import itertools
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import click

from muniment.cli.context import context_of
from muniment.cli.help_language import translated, translated_option
from muniment.cli.lazy import with_checked_parser
from muniment.cli.options import (
    evaluate_option,
    input_option,
    isolate_option,
    pairs_option,
    policy_option,
    tag_option,
)
from muniment.cli.output import warn_broken
from muniment.cli.parameter_options import INPUT, PARAMETER, parameter_option
from muniment.cli.plugins_list import gone_plugins
from muniment.cli.translation import translate
from muniment.errors import MunimentError, UnknownNameError, similar_names
from muniment.language import gettext, ngettext
from muniment.plugins.objects import RegisteredObject
from muniment.plugins.providers import TEXT, install_command
from muniment.plugins.state import distributions
from muniment.types.inputs import InputSpec


class GeneratorGroup(click.Group, ABC):
    """The installed generators and media kinds, each as a command that `command_of` returns."""

    takes_prompt = True  # on the command line, after the name

    @abstractmethod
    def command_of(
        self, name: str, registered: RegisteredObject, media_type: RegisteredObject | None
    ) -> click.Command:
        """Return the command of a generator."""

    @abstractmethod
    def shared_parameters(self) -> list[click.Parameter]:
        """Return the parameters that the commands of all generators have."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, `--isolate` first, as plugins are loaded to find the generator."""
        isolate_if_asked(ctx, args)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the media kinds, then the generators."""
        return context_of(ctx).session.plugins.generator_names()

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
                return translated(self.command_of(cmd_name, registered, None))
            return None
        broken = session.plugins.load()
        try:
            registered = session.plugins.generator(cmd_name, session.config.generators())
        except UnknownNameError as error:
            warn_broken(failure for failure in broken if failure.message not in str(error))
            unloaded = session.plugins.broken or session.plugins.disabled
            if error.name != cmd_name or error.kind != "generator" or unloaded:
                raise
            # A plugin that is disabled, or only adds commands, is installed too.
            if hint := gone_plugins(context_of(ctx), set(distributions())):
                raise UnknownNameError("generator", cmd_name, hint=hint) from None
            if error.hint:  # how to get a generator of this kind
                raise
            available = self.list_commands(ctx)
            if not available:
                raise UnknownNameError("generator", cmd_name, hint=_no_generator()) from None
            hint = ""
            if self.takes_prompt and not similar_names(cmd_name, available):
                hint = _as_prompt(cmd_name, available)
            raise UnknownNameError("generator", cmd_name, available, hint) from None
        warn_broken(broken)
        media_type = None
        if not registered.media_type.startswith("text/"):
            media_type = session.media.registered(registered.media_type)
        return translated(self.command_of(cmd_name, registered, media_type))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the media kinds and generators."""
        session = context_of(ctx).session
        warn_broken(session.plugins.load())
        objects = session.plugins.objects("generator")
        if not objects:
            sentence = _no_generator()
            formatter.write_text(f"{sentence[0].upper()}{sentence[1:]}.")
            return
        with formatter.section(gettext("Generators and media kinds")):
            names = {registered.name for registered in objects}
            rows = [
                (kind, _default_of(session, kind))
                for kind in session.plugins.generator_names()
                if kind not in names
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


def _no_generator() -> str:
    command = install_command(TEXT.distribution)
    return f"no plugin with a generator is installed; `{command}` installs one for text"


def _as_prompt(name: str, available: list[str]) -> str:
    """Return the hint that an unknown name is meant as a prompt."""
    generator = "text" if "text" in available else available[0]
    command = f"muniment generate {generator} {prompt_or_placeholder(shlex.quote(name))}"
    return f"a prompt follows the name: `{command}`"


def prompt_or_placeholder(prompt: str) -> str:
    """Return a quoted prompt, or a placeholder for a long one."""
    return prompt if len(prompt) <= 60 else "'PROMPT'"


def noun_of(registered: RegisteredObject, media_type: RegisteredObject | None) -> str:
    """Return the media type of a generator's outputs, after its name if a plugin handles it."""
    if media_type is None:
        return registered.media_type
    return f"{media_type.name} ({registered.media_type})"


_Command = TypeVar("_Command", bound=Callable[..., Any])


def request_options(command: _Command) -> _Command:
    """Add the options of a request that all commands of generators share."""
    for option in reversed(
        (
            pairs_option("Parameter of the generator; may be repeated."),
            input_option("File, or id of a generation, for an input; may be repeated."),
            policy_option,
            tag_option,
            evaluate_option,
            isolate_option,
            click.option(
                "--stream/--no-stream",
                default=None,
                help="Show text while it is generated, unless a filter checks outputs. "
                "Default on a terminal.",
            ),
        )
    ):
        command = option(command)
    return command


def own_options(registered: RegisteredObject, taken: Collection[str]) -> list[click.Option]:
    """Return the options of a generator's parameters, and of its inputs that have one.

    `taken` are the names of the shared options.
    """
    distribution = registered.plugin.distribution
    options = [
        translated_option(parameter_option(field, PARAMETER, taken), distribution)
        for field in registered.parameters.fields().values()
    ]
    return options + [
        _input_option(spec, distribution) for spec in registered.inputs if spec.option
    ]


def _input_option(spec: InputSpec, distribution: str) -> click.Option:
    """Return the option of its own that an input has, for a text or for the path of a file."""
    flag, metavar = spec.option.split(" ")
    return click.Option(
        [INPUT + spec.name, flag],
        metavar=metavar,
        type=str.encode if metavar == "TEXT" else str,
        help=described_input(spec, distribution),
    )


def described_input(spec: InputSpec, distribution: str) -> str:
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


def _default_of(session: Any, kind: str) -> str:
    try:
        found = session.plugins.generator(kind, session.config.generators())
        return gettext("the generator {name}").format(name=found.name)
    except MunimentError:
        choices = [
            registered
            for registered in session.plugins.objects("generator")
            if registered.media_kind == kind
        ]
        template = ngettext(
            "{number} generator; `muniment config set generator.{kind} NAME`",
            "{number} generators; `muniment config set generator.{kind} NAME`",
            len(choices),
        )
        return template.format(number=len(choices), kind=kind)


def isolate_if_asked(ctx: click.Context, args: list[str]) -> None:
    """Set `isolate` if the option is among arguments that are not parsed yet."""
    if "--isolate" in itertools.takewhile(lambda arg: arg != "--", args):
        context_of(ctx).isolate = True
