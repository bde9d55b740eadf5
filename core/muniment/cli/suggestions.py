"""Suggestions for commands, options and values of options that do not exist."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

import click

from muniment.cli import plugin_commands
from muniment.cli.context import WORDS_KEY, context_of
from muniment.cli.generators import GeneratorGroup
from muniment.cli.lazy import LazyGroup
from muniment.errors import MunimentError, similar_names

_MOST = 3  # suggestions in a message
_SYNONYMS = [
    set(words.split())
    for words in (
        "add create generate init make new place",
        "add install",
        "import load restore",
        "clean delete del drop erase forget remove rm uninstall unset",
        "all index list log ls queue runs",
        "list show",
        "cat describe get info inspect print show status view",
        "check doctor test validate verify",
        "accept approve confirm",
        "deny overturn refuse reject",
        "again redo repeat replay reproduce rerun",
        "compare diff difference",
        "count statistics stats summary",
        "edit set",
        "decide resolve",
        "dump export save",
        "find grep query search",
        "follow tail watch",
        "update upgrade",
        "backup copy",
        "ancestors history lineage parents",
        "evaluate score",
        "feedback rate",
        "delete drop end lift release remove rm",
        "off disable",
        "on enable",
    )
]


def unknown_command(ctx: click.Context, name: str) -> str:
    """Return the sentence that a group has no such command, with commands that may be meant.

    For a command of a first-party plugin that is not installed, it is how to install the plugin.
    """
    if missing := plugin_commands.missing_plugin(ctx, name):
        return missing
    hints = _suggestions(ctx, name)[:_MOST]
    hint = f" Did you mean {' or '.join(hints)}?" if hints else ""
    return f"no command named {name!r}.{hint}"


def similar_choices(error: click.BadParameter) -> str:
    """Return a question with the values that an invalid one may mean, or an empty text.

    An error of `click.Choice` has the value only in its message, which is the same around it for
    every value.
    """
    choice = None if error.param is None else error.param.type
    if not isinstance(choice, click.Choice):
        return ""
    before, _, after = choice.get_invalid_choice_message("", error.ctx).partition(repr(""))
    if not error.message.startswith(before) or not error.message.endswith(after):
        return ""
    value = error.message.removeprefix(before).removesuffix(after)[1:-1]
    return _question(similar_names(value, map(str, choice.choices)))


def similar_options(error: click.NoSuchOption) -> list[str]:
    """Return the options of the command that an unknown one may mean."""
    if error.ctx is None:
        return []
    names = [
        name
        for parameter in error.ctx.command.get_params(error.ctx)
        if isinstance(parameter, click.Option) and not parameter.hidden
        for name in (*parameter.opts, *parameter.secondary_opts)
    ]
    if not error.option_name.startswith("--"):
        return [name for name in names if name.swapcase() == error.option_name]
    long = [name.removeprefix("--") for name in names if name.startswith("--")]
    return [f"--{name}" for name in similar_names(error.option_name.removeprefix("--"), long)]


def unknown_option(error: click.NoSuchOption, ctx: click.Context) -> str:
    """Return the message of an unknown option, with the command that has it if there is one.

    These are the groups that contain the command, and the commands that the user named after the
    option.
    """
    parent = ctx.parent
    while parent is not None:
        if _has_option(parent.command.params, error.option_name):
            return _misplaced(error, parent.command_path)
        parent = parent.parent
    for path, parameters in _named_commands(ctx):
        if _has_option(parameters, error.option_name):
            return _misplaced(error, path)
    return f"{error.message} {_question(similar_options(error))}".rstrip()


def _question(names: Iterable[str]) -> str:
    """Return a question whether one of the names is meant, or an empty text without names."""
    meant = " or ".join(map(repr, names))
    return f"Did you mean {meant}?" if meant else ""


def _misplaced(error: click.NoSuchOption, path: str) -> str:
    return f"{error.message.rstrip('.')} here; write it after `{path}`"


def _has_option(parameters: Iterable[click.Parameter], name: str) -> bool:
    return any(name in (*one.opts, *one.secondary_opts) for one in parameters)


def _named_commands(ctx: click.Context) -> Iterator[tuple[str, list[click.Parameter]]]:
    """Yield the path and the parameters of each command below a group that the user named.

    No plugin is loaded, so of the commands of generators only the shared parameters are known.
    """
    words = iter(ctx.meta.get(WORDS_KEY, ()))
    for name in ctx.command_path.split()[1:]:
        next((word for word in words if word == name), None)
    for word in words:
        if isinstance(ctx.command, GeneratorGroup):
            break
        if not isinstance(ctx.command, click.Group) or word not in _names(ctx.command, ctx):
            continue
        try:
            command = ctx.command.get_command(ctx, word)
        except MunimentError:  # a command of a broken plugin
            return
        if command is None:
            return
        ctx = click.Context(command, info_name=word, parent=ctx)
        yield ctx.command_path, command.params
    if isinstance(ctx.command, GeneratorGroup):
        yield f"{ctx.command_path} NAME", ctx.command.shared_parameters()


def _suggestions(ctx: click.Context, name: str) -> list[str]:
    """Return commands that may be meant: of the group itself, of other groups, or a generator."""
    root = ctx.find_root()
    if any(f"--{name}" in option.opts for option in root.command.params):
        return [f"`{root.command_path} --{name}`"]
    if name == "help":
        _, *groups = ctx.command_path.split()
        return [f"`{' '.join((root.command_path, name, *groups))}`"]
    own = _names(ctx.command, ctx) if isinstance(ctx.command, click.Group) else []
    others = {path: names for path, names in _groups(root) if path != ctx.command_path}

    def elsewhere(find: Callable[[str, Collection[str]], list[str]]) -> list[str]:
        return [
            f"`{path} {match}`" for path, names in others.items() for match in find(name, names)
        ]

    similar = similar_names(name, own)
    if ctx is root:  # a command without its group is more likely than a misspelt group
        found = elsewhere(_same) or similar
    else:
        found = list(dict.fromkeys([*similar, *_synonyms(name, own)])) or elsewhere(_same)
    if found := found or elsewhere(_synonyms) or elsewhere(similar_names):
        return found
    return [f"`{root.command_path} generate {name}`"] if _is_generator(ctx, name) else []


def _same(name: str, names: Collection[str]) -> list[str]:
    return [name] if name in names else []


def _synonyms(name: str, names: Collection[str]) -> list[str]:
    alike = set().union(*(words for words in _SYNONYMS if name.lower() in words))
    return [other for other in names if other in alike]


def _is_generator(ctx: click.Context, name: str) -> bool:
    """Return whether `muniment generate` accepts a name. Loads the plugins."""
    session = context_of(ctx).session
    try:
        session.plugins.generator(name, session.config.generators())
    except MunimentError:
        return False
    return True


def _groups(root: click.Context) -> Iterator[tuple[str, list[str]]]:
    """Yield the path of each group that imports its commands when called, and their names."""
    assert isinstance(root.command, LazyGroup)
    yield root.command_path, _names(root.command, root)
    for name in root.command.own_names:
        command = root.command.own_command(name)
        if isinstance(command, LazyGroup):
            nested = click.Context(command, info_name=name, parent=root)
            yield nested.command_path, _names(command, nested)


def _names(group: click.Group, ctx: click.Context) -> list[str]:
    return group.names_to_suggest(ctx) if isinstance(group, LazyGroup) else list(group.commands)
