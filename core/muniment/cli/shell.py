"""`muniment shell [GENERATOR]`, which reads one prompt after another with a loaded model."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import click

import muniment
from muniment.cli.answers import Answers
from muniment.cli.context import context_of
from muniment.cli.generators import GeneratorGroup, noun_of, own_options, request_options
from muniment.cli.interruption import new_run
from muniment.cli.notices import AnswerNotices
from muniment.cli.options import inputs_given, json_option, model_option, parameters_given
from muniment.cli.output import on_terminal
from muniment.cli.parameter_options import INPUT, PARAMETER, flags, take_values
from muniment.cli.prompt_loop import Answering, PromptLoop
from muniment.errors import UsageError
from muniment.generation.seeds import parse_seed
from muniment.language import gettext
from muniment.plugins.objects import RegisteredObject
from muniment.types.media_types import is_text_type


class _ShellGroup(GeneratorGroup):
    """The generators, of which the first argument names one."""

    takes_prompt = False

    def command_of(
        self, name: str, registered: RegisteredObject, media_type: RegisteredObject | None
    ) -> click.Command:
        """Return the command of a generator."""
        return command_of(name, registered, media_type)

    def shared_parameters(self) -> list[click.Parameter]:
        """Return the parameters that the commands of all generators have."""
        return _shared_parameters()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. Without a generator, they are those of `text`."""
        if not args or (args[0].startswith("-") and args[0] not in self.get_help_option_names(ctx)):
            args = ["text", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ShellGroup, options_metavar="", subcommand_metavar="[NAME] [OPTIONS]")
def shell() -> None:
    """Enter one prompt after another.

    NAME is a generator or a media kind, by default `text`. The model is loaded once. Each prompt is
    recorded as `muniment generate` does, and all of them form one run. `/help` lists the commands
    of the shell. Without a terminal, each line of standard input is a prompt.
    """


def command_of(
    name: str, registered: RegisteredObject, media_type: RegisteredObject | None = None
) -> click.Command:
    """Return the command of a generator, with the shared options and those of its parameters."""
    fixed = _shared_parameters()
    taken = {flag for option in fixed for flag in (*option.opts, *option.secondary_opts)}
    own = own_options(registered, taken)
    return click.Command(
        name,
        callback=functools.partial(_run, name, registered),
        params=[*(option for option in own if not taken & flags([option]).keys()), *fixed],
        help=gettext("Generate {output} with {generator}, one prompt after another.").format(
            output=noun_of(registered, media_type), generator=registered.name
        ),
    )


def _shared_parameters() -> list[click.Parameter]:
    @click.command
    @model_option("Name of an added or packaged model, path, or hub id.")
    @click.option("--system", metavar="TEXT", help="A system prompt.")
    @click.option("--seed", metavar="N", help="0 to 2^64-1; random for each prompt if omitted.")
    @request_options
    @json_option
    def shared() -> None:
        """Declare the shared options."""

    return shared.params


def _run(
    name: str,
    registered: RegisteredObject,
    model: str | None,
    system: str | None,
    seed: str | None,
    pairs: tuple[tuple[str, str], ...],
    inputs: tuple[tuple[str, str], ...],
    policy: str | None,
    tags: tuple[str, ...],
    evaluate: tuple[str, ...],
    stream: bool | None,
    as_json: bool,
    **own: Any,
) -> int:
    session = context_of(click.get_current_context()).session
    fields = registered.parameters.fields()
    if not (as_json or on_terminal() or is_text_type(registered.media_type)):
        raise UsageError(
            f"outputs of {registered.media_type} cannot follow each other in a pipe; use --json"
        )
    spec = muniment.GenerationSpec(
        generator=name,
        model=model,
        system=system,
        seed=None if seed is None else parse_seed(seed),
        parameters=parameters_given(pairs, fields, take_values(own, PARAMETER)),
        tags=tags,
        inputs=inputs_given(inputs, take_values(own, INPUT)),
    )
    registered.parameters(**spec.parameters)  # raises before the first prompt is read
    session.generation_notices = notices = AnswerNotices()
    with new_run(session) as run:

        def generate(specs: Iterator[muniment.GenerationSpec]) -> Answering:
            return session.run(
                specs,
                policy=policy,
                stream=not as_json and (on_terminal() if stream is None else stream),
                batch_size=1,
                run_id=run,
                evaluate=evaluate or None,
            )

        answers = Answers(None, None, notices, as_json=as_json)
        return PromptLoop(session, registered, spec, run, answers).run(generate)
