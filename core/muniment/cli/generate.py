"""`muniment generate NAME PROMPT`, with one command and the options of each generator."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

import muniment
from muniment.cli.answers import Answers
from muniment.cli.context import context_of
from muniment.cli.generators import (
    GeneratorGroup,
    described_input,
    isolate_if_asked,
    noun_of,
    own_options,
    prompt_or_placeholder,
    request_options,
)
from muniment.cli.interruption import Presenter, new_run
from muniment.cli.media_files import FileFormat, refuse_without_file
from muniment.cli.notices import AnswerNotices
from muniment.cli.options import (
    bare_option,
    combine_option,
    inputs_given,
    json_option,
    model_option,
    output_option,
    overwrite_option,
    parameters_given,
    private_option,
    visible_label_option,
)
from muniment.cli.output import on_terminal
from muniment.cli.output_file import OutputFile, input_path
from muniment.cli.parameter_options import (
    FILE,
    INPUT,
    PARAMETER,
    file_options,
    flags,
    refuse_clash,
    take_values,
)
from muniment.cli.progress import waiting
from muniment.errors import PromptError
from muniment.language import gettext
from muniment.names import versioned
from muniment.plugins.objects import RegisteredObject

if TYPE_CHECKING:
    from muniment.provenance.labels import Language


class _Generate(GeneratorGroup):
    """The generators, with the command of the recorded one for `--like`."""

    def command_of(
        self, name: str, registered: RegisteredObject, media_type: RegisteredObject | None
    ) -> click.Command:
        """Return the command of a generator."""
        return command_of(name, registered, media_type)

    def shared_parameters(self) -> list[click.Parameter]:
        """Return the parameters that the commands of all generators have."""
        return _shared_parameters(optional_prompt=True)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. Those that begin with `--like` get the recorded generator's name."""
        isolate_if_asked(ctx, args)
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


@click.group(cls=_Generate, options_metavar="", subcommand_metavar="NAME PROMPT [OPTIONS]")
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
    distribution = registered.plugin.distribution
    own = [*own_options(registered, taken), *file_options(media_type)]
    free = [option for option in own if not taken & flags([option]).keys()]
    return _GeneratorCommand(
        name,
        callback=functools.partial(_run, name, registered),
        params=[*fixed[:1], *free, *fixed[1:]],
        help="\n\n".join(
            [
                gettext("Generate {output} with {generator} ({plugin}).").format(
                    output=noun_of(registered, media_type),
                    generator=registered.name,
                    plugin=versioned(distribution, registered.plugin.version),
                ),
                gettext(
                    "PROMPT is text, or - for standard input. It is not needed with --like. Write "
                    "a prompt that begins with a hyphen last, after --."
                ),
                *(
                    described_input(spec, distribution)
                    for spec in registered.inputs
                    if not spec.option
                ),
            ]
        ),
    )


class _GeneratorCommand(click.Command):
    """A command that takes one prompt, with an error for a prompt that is not quoted."""

    allow_extra_args = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. Raise UsageError if there are several prompts.

        An error for an unknown option names the way to write a prompt that looks like one.
        """
        given = list(args)
        try:
            extra = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            from muniment.cli.suggestions import similar_options

            if similar_options(error):
                raise
            sentence = error.message.rstrip(".")
            raise click.NoSuchOption(
                error.option_name,
                f"{sentence}; write a prompt that begins with a hyphen last, after --.",
                ctx=error.ctx,
            ) from None
        if extra and not ctx.resilient_parsing:
            words = [ctx.params["prompt"], *extra]
            raise click.UsageError(self._several_prompts(given, words, ctx), ctx)
        return extra

    def _several_prompts(self, given: list[str], words: list[str], ctx: click.Context) -> str:
        """Return the error for several prompts, or for options after `--`, with the remedy."""
        known = {option for item in self.params for option in item.opts}
        first = next((n for n, word in enumerate(words) if word.partition("=")[0] in known), 0)
        end = given.index("--") if "--" in given else len(given)
        if first and given[end + 1 :] == words:
            options = [*given[:end], *words[first:]]
            prompt, problem = words[:first], f"{words[first]} stands after --; write options before"
        else:
            options, prompt = [], words
            problem = f"the prompt has {len(words)} arguments; quote it"
        text = " ".join(prompt)
        shown = prompt_or_placeholder(shlex.quote(text))
        parts = [ctx.command_path, shlex.join(options), "--" * text.startswith("-"), shown]
        return f"{problem}, as in `{' '.join(filter(None, parts))}`."


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
    @request_options
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
    session.generation_notices = notices = AnswerNotices()
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
        shown = Answers(
            destination, file, notices, as_json=as_json, total=samples, headings=headings
        )
        presenter = Presenter(session, run, shown.show)
        with (
            presenter.rest(),
            contextlib.closing(answers) as items,
            waiting("preparing") as arrived,
        ):
            for item in items:
                arrived()
                if isinstance(item, muniment.Chunk):
                    shown.show(item)
                else:
                    presenter.show(item)
        return shown.end()


def _from_stdin() -> str:
    raw = sys.stdin.buffer.read().removeprefix(b"\xef\xbb\xbf")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise PromptError(
            f"standard input is not valid UTF-8 (at byte {error.start + 1}); save it as UTF-8"
        ) from None
    return text.removesuffix("\n").removesuffix("\r")
