"""Options, arguments and confirmations shared by several commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

import muniment
from muniment.cli.context import CliContext, context_of
from muniment.cli.listing import want_headers
from muniment.cli.output import one_line, write_note
from muniment.errors import UsageError
from muniment.language import english_of, gettext
from muniment.moments import parse_moment
from muniment.names import split_version

if TYPE_CHECKING:
    from muniment.parameters import Field
    from muniment.store import Store

_Command = TypeVar("_Command", bound=Callable[..., Any])

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, one object per line."
)
headers_option = click.option(
    "--headers",
    is_flag=True,
    expose_value=False,
    callback=lambda context, parameter, value: want_headers() if value else None,
    help="Print column headers in a pipe or file, too.",
)
tag_option = click.option(
    "--tag",
    "tags",
    metavar="TAG",
    multiple=True,
    help="Tag to record, for finding it later (may be repeated).",
)
policy_option = click.option(
    "--policy", metavar="FILE", help="Policy file, or name of an installed policy."
)
evaluate_option = click.option(
    "--evaluate",
    metavar="NAME",
    multiple=True,
    help="Evaluator instead of the default ones, as in 'NAME(key=value)' (may be repeated).",
)
output_option = click.option(
    "-o", "--output", metavar="FILE", help="New file to write instead of standard output."
)
bare_option = click.option(
    "--bare", is_flag=True, help="Write the recorded bytes, without their provenance."
)
combine_option = click.option(
    "--combine",
    "--sheet",  # the usual word for pictures
    "combine",
    is_flag=True,
    help="Write several outputs to one file, if their media type can.",
)
private_option = click.option(
    "--private", is_flag=True, help="Write files without prompt and parameters."
)
visible_label_option = click.option(
    "--visible-label",
    type=click.Choice(["zh", "en"]),
    help="Language of a label in the output that says it is AI-generated.",
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace an existing file.")


full_option = click.option(
    "--full",
    is_flag=True,
    help="Add all verdicts, the digests, the plugins and the environment.",
)


def _isolate(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        context_of(ctx).isolate = True


isolate_option = click.option(
    "--isolate",
    is_flag=True,
    expose_value=False,
    callback=_isolate,
    help="Run every plugin in a worker process.",
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def generator_option(text: str) -> Callable[[_Command], _Command]:
    """Return the option `--generator`, which defaults to `text`."""
    return click.option("--generator", metavar="NAME", default="text", show_default=True, help=text)


def model_option(text: str) -> Callable[[_Command], _Command]:
    """Return the option `-m/--model`."""
    return click.option("-m", "--model", metavar="MODEL", help=text)


def pairs_option(text: str) -> Callable[[_Command], _Command]:
    """Return the repeatable option `-p KEY=VALUE`, to be read by `parameters_given`."""
    return click.option(
        "-p", "pairs", type=_key_value, multiple=True, metavar="KEY=VALUE", help=text
    )


def input_option(text: str) -> Callable[[_Command], _Command]:
    """Return the repeatable option `--input NAME=FILE`, to be read by `inputs_given`."""
    return click.option(
        "--input", "inputs", type=_name_file, multiple=True, metavar="NAME=FILE", help=text
    )


def limit_option(default: int) -> Callable[[_Command], _Command]:
    """Return the option `-n/--limit` of lists, where 0 means all."""
    return click.option(
        "-n",
        "--limit",
        type=click.IntRange(min=0),
        metavar="N",
        default=default,
        show_default=True,
        help="Maximum number of results (0 for all).",
    )


def _key_value(argument: str) -> tuple[str, str]:
    """Split `key=value` at the first `=`, with hyphens in the key replaced by underscores."""
    key, equals, text = argument.partition("=")
    if not equals or not key.strip():
        raise click.BadParameter(f"{argument!r} is not of the form key=value.")
    return key.strip().replace("-", "_"), text


def _name_file(argument: str) -> tuple[str, str]:
    """Split `name=file` at the first `=`."""
    name, equals, source = argument.partition("=")
    if not equals or not name.strip() or not source:
        raise click.BadParameter(f"{argument!r} is not of the form name=file.")
    return name.strip(), source


def inputs_given(
    pairs: tuple[tuple[str, str], ...], options: dict[str, Any] | None = None
) -> dict[str, Path | str | bytes]:
    """Return the inputs set by `--input` and by the generator's own options, by name.

    Raises UsageError for a name that is given twice.
    """
    given = [(name, value) for name, value in (options or {}).items() if value is not None]
    names = [name for name, _ in (*pairs, *given)]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise click.UsageError(f"the input {repeated[0]} is given twice; remove one.")
    return dict((*pairs, *given))


def moment_of(argument: str, *, end: bool = False) -> datetime:
    """Return the time that an argument means, as `parse_moment` does."""
    try:
        return parse_moment(argument, end=end)
    except UsageError as error:
        raise click.BadParameter(f"{error}.") from None


def parameters_given(
    pairs: tuple[tuple[str, str], ...],
    fields: Mapping[str, Field],
    options: dict[str, Any] | None = None,
) -> dict[str, object]:
    """Return the parameters set by `-p` and by the generator's own options, by name.

    `fields` are the declared parameters. A name repeated with `-p` becomes a tuple, if it is a list
    or not declared. Raises click.UsageError for another name that is repeated or set both ways.
    """
    texts: dict[str, list[str]] = {}
    for key, text in pairs:
        texts.setdefault(key, []).append(text)
        if len(texts[key]) > 1 and key in fields and fields[key].type != "strings":
            raise click.UsageError(f"-p {key} is given twice; remove one.")
    parameters: dict[str, object] = {
        key: repeated[0] if len(repeated) == 1 else tuple(repeated)
        for key, repeated in texts.items()
    }
    for key, value in (options or {}).items():
        if value is None or value == ():
            continue
        if key in parameters:
            option = key.replace("_", "-")
            raise click.UsageError(f"{key} is set twice, by --{option} and by -p; remove one.")
        parameters[key] = value
    return parameters


# Those of `muniment.types.generations`, which takes too long to import for `--help`.
STATUSES = ("started", "completed", "blocked", "failed", "interrupted")
DECISIONS = ("allow", "flag", "block")
FILTERED_DECISIONS = (*DECISIONS, "undecided")
# Words for decisions that lists print next to the status.
_DECIDED = {
    "allowed": "allow",
    "flagged": "flag",
    **{decision: decision for decision in FILTERED_DECISIONS},
}


class _StatusChoice(click.Choice[str]):
    """A status. The error for a decision names the option `--decision`."""

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> str:
        if value in _DECIDED:
            option = f"use --decision {_DECIDED[value]}"
            self.fail(f"{value} is a decision, not a status; {option}.", param, ctx)
        return super().convert(value, param, ctx)


# The options that select generations, by the names of their arguments.
_FILTERS = {
    "since": click.option(
        "--since",
        type=moment_of,
        metavar="WHEN",
        help="Earliest start: a date or time, an age (2h, 7d, 2w, 'an hour ago'), today, "
        "yesterday, 'this week', 'last week', 'this month' or 'last month'. Local time without a "
        "zone.",
    ),
    "until": click.option(
        "--until",
        type=lambda argument: moment_of(argument, end=True),
        metavar="WHEN",
        help="Latest start, in the same forms. A day, week or month is included whole.",
    ),
    "status": click.option(
        "--status", type=_StatusChoice(STATUSES), help="Status of the generation."
    ),
    "generator": click.option("--generator", metavar="NAME", help="Name of the generator."),
    "model": click.option(
        "--model", metavar="MODEL", help="Name of the model, or beginning of its digest."
    ),
    "decision": click.option(
        "--decision",
        type=click.Choice(FILTERED_DECISIONS),
        help="Most severe action taken, or with --filter the decision of that filter. Undecided "
        "generations failed, were interrupted or still run, without a finding.",
    ),
    "filter": click.option(
        "--filter", metavar="NAME", help="Name of a filter that checked the generation."
    ),
    "category": click.option(
        "--category",
        metavar="NAME",
        help="Category that a filter found, or with --filter that this filter found.",
    ),
    "policy": click.option(
        "--policy",
        metavar="POLICY",
        help="Name of the policy, with or without a version, or beginning of its file's SHA-256.",
    ),
    "made_with": click.option(
        "--made-with",
        metavar="PLUGIN",
        help="Plugin that took part, also at one version, as in 'NAME==0.1.0'.",
    ),
    "reviewed": click.option(
        "--reviewed/--unreviewed",
        default=None,
        help="With a person's review, or without one (`review queue` lists those that need one).",
    ),
    "actor": click.option(
        "--actor", metavar="NAME", help="Name of the actor who requested the generation."
    ),
    "tag": click.option("--tag", metavar="TAG", help="Tag of the generation."),
    "run": click.option("--run", metavar="RUN", help="Run of the generation."),
    "item": click.option(
        "--item",
        type=click.IntRange(min=0),
        metavar="N",
        help="Number of an item of an experiment, from 0, with --run.",
    ),
    "seed": click.option("--seed", metavar="N", help="Seed of the generation."),
    "scores": click.option(
        "--score",
        "scores",
        metavar="CONDITION",
        multiple=True,
        callback=lambda context, parameter, values: list(values) or None,
        help="Condition on a score, such as 'perplexity<20' (may be repeated).",
    ),
}
FILTER_NAMES = tuple(_FILTERS)


def filter_options(command: _Command, *, without: Collection[str] = ()) -> _Command:
    """Add the filter options to a command, which passes them as `**filters` to `query_of`.

    `without` omits filters that the command sets, or of which it has an option of its own.
    """
    for name, option in reversed(_FILTERS.items()):
        if name not in without:
            command = option(command)
    return command


def query_of(context: CliContext, filters: dict[str, Any], *, limit: int) -> muniment.Query:
    """Return the query for filters, all of which must match. A limit of 0 means no limit."""
    from muniment.generation.seeds import parse_seed

    values = {**filters, "limit": limit or None}
    if values["seed"] is not None:
        values["seed"] = parse_seed(values["seed"])
    if values["run"] is not None:
        values["run"] = context.store.find_run(values["run"])
    if values["made_with"] is not None:
        values["made_with"] = _distribution(values["made_with"])
    return muniment.Query(**values)


def no_match(store: Store, query: muniment.Query, result: str = "no generation matches") -> str:
    """Return a note that no generation matches a query, with the reasons why none can."""
    return "; ".join(filter(None, (result, obstacles(store, query))))


def obstacles(store: Store, query: muniment.Query) -> str:
    """Return the reasons why no generation can match a query, or an empty text."""
    return "; ".join([*store.obstacles(query), *_rule_hint(store, query)])


_MOST_POLICIES = 100  # the newest ones, in which a rule is looked up


def _rule_hint(store: Store, query: muniment.Query) -> Iterator[str]:
    """Yield the filters of a rule whose name was given as that of a filter."""
    name = query.filter
    if name is None or not store.obstacles(muniment.Query(filter=name)):
        return
    from muniment.cli.verdicts import filters_of_rule

    for filter in filters_of_rule(store.policy_documents(limit=_MOST_POLICIES), name):
        yield (
            f"{name} is a rule of filter {filter}; use --filter {filter}, or --category with a "
            "category of the rule"
        )


def _distribution(plugin: str) -> str:
    """Return the distribution of an installed plugin, as the record names it, for its name.

    A version after the name stays. Any other text is returned unchanged. Raises UsageError for the
    name of several plugins.
    """
    from muniment.plugins.discovery import installed_plugins

    name, version = split_version(plugin)
    owners = {item.distribution for item in installed_plugins() if item.name == name}
    if len(owners) > 1:
        distributions = ", ".join(sorted(owners))
        raise click.UsageError(f"several plugins are named {name!r}; use one of {distributions}.")
    if not owners:
        return plugin
    return owners.pop() if version is None else f"{owners.pop()}=={version}"


def confirm(
    action: str, *, yes: bool, otherwise: str, preview: Callable[[], None] | None = None
) -> bool:
    """Return whether the user confirms an action, such as "erase 3 texts".

    `yes` confirms without a question. `preview` prints what is affected, before the question.
    `otherwise` is printed when the user declines. Raises UsageError, in English, if stdin is not a
    terminal.
    """
    shown = one_line(action)
    if yes:
        write_note(gettext("Confirmed with --yes: {action}").format(action=shown))
        return True
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"this will {one_line(english_of(action))}; use --yes to confirm, since standard input "
            "is not a terminal."
        )
    if preview is not None:
        preview()
    if _is_yes(gettext("This will {action}. Continue?").format(action=shown)):
        return True
    write_note(otherwise)
    return False


def _is_yes(question: str) -> bool:
    """Return the answer to a question, in English or in the language of the user."""
    answers = {"": False}
    answers |= dict.fromkeys(("y", "yes", gettext("yes")), True)
    answers |= dict.fromkeys(("n", "no", gettext("no")), False)
    while True:
        try:
            answer = click.prompt(f"{question} [y/N]", default="", show_default=False, err=True)
        except click.Abort:
            write_note("")  # ends the line of the question
            raise
        if (known := answers.get(answer.strip().lower())) is not None:
            return known
        write_note(gettext("Answer yes (y) or no (n)."))
