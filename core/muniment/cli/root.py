"""The root command: global options and the table of command groups."""

from __future__ import annotations

import itertools
from typing import Any

import click

from muniment._version import __version__
from muniment.cli.context import HOME_KEY, CliContext, Interrupted
from muniment.cli.lazy import LazyGroup

COMMANDS = {
    "generate": ("muniment.cli.generate:generate", "Generate text or another kind of output."),
    "batch": ("muniment.cli.batch:batch", "Generate for every line of a file."),
    "audit": ("muniment.cli.audit:audit", "Search, show, replay and verify recorded generations."),
    "feedback": ("muniment.cli.feedback:feedback", "Rate a generation or comment on it."),
    "review": ("muniment.cli.review:review", "Review generations that filters flagged or blocked."),
    "hold": ("muniment.cli.hold:hold", "Place generations under legal hold."),
    "retention": (
        "muniment.cli.retention:retention",
        "Set how long texts are kept, and erase expired ones.",
    ),
    "models": ("muniment.cli.models:models", "Add, list, show, verify and remove models."),
    "plugins": ("muniment.cli.plugins:plugins", "List, install and manage plugins."),
    "policy": ("muniment.cli.policy:policy", "Show which filters run, and their effect."),
    "config": ("muniment.cli.config:config", "Read and change settings."),
    "keys": ("muniment.cli.keys:keys", "Create and show the key that signs the record."),
    "db": ("muniment.cli.db:db", "Manage the store."),
}

_ANYWHERE = ("--home", "--store", "--actor", "--plugin")


class _Root(LazyGroup):
    """The root group, whose options may stand anywhere on the line before a `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move the global options to the front, then parse."""
        return super().parse_args(ctx, self._global_options_first(ctx, args))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and turn Ctrl-C and bugs of a plugin into errors of one line."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None
        except Exception as error:
            command = ctx.meta.get("muniment.plugin_command")
            if command is None:
                raise
            from muniment.plugins.commands import raise_failure

            raise_failure(command, error)

    def _global_options_first(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        ctx.meta[HOME_KEY] = _last_value("--home", args[:end])
        front: list[str] = []
        rest: list[str] = []
        remaining = iter(args[:end])
        for arg in remaining:
            name, equals, _ = arg.partition("=")
            if name not in _ANYWHERE or (name == "--actor" and self._has_actor_filter(ctx, rest)):
                rest.append(arg)
            elif equals:
                front.append(arg)
            elif value := list(itertools.islice(remaining, 1)):
                front += [arg, *value]
            else:
                raise click.BadOptionUsage(arg, f"Option {arg!r} requires an argument.", ctx)
        return [*front, *rest, *args[end:]]

    def _has_actor_filter(self, ctx: click.Context, words: list[str]) -> bool:
        """Return whether `--actor` after these words filters generations by their actor.

        It does in `audit` and `hold`, which record no actor, and in a command of a plugin that
        declares the option itself.
        """
        if words[:1] in (["audit"], ["hold"]):
            return True
        command: click.Command | None = self
        added = False  # by a plugin: of the core's other commands, none declares the option
        for word in words:
            if isinstance(command, LazyGroup):
                added = word not in command.own_names
            elif not (added and isinstance(command, click.Group)):
                break
            if word.startswith("-"):
                break
            try:
                found = command.get_command(ctx, word)
            except Exception:  # raised again, and reported, when the command is called
                return False
            if found is None:
                return False
            command, ctx = found, click.Context(found, info_name=word, parent=ctx)
        if command is None or not added:
            return False
        return any("--actor" in option.opts for option in command.params)


def _last_value(name: str, args: list[str]) -> str | None:
    """Return the value of the last option of that name, or None."""
    value = None
    for arg, following in itertools.zip_longest(args, args[1:]):
        option, equals, own = arg.partition("=")
        if option == name:
            value = own if equals else following
    return value


@click.group(cls=_Root, lazy=COMMANDS, epilog="Global options may stand anywhere on the line.")
@click.option(
    "--home",
    metavar="FOLDER",
    is_eager=True,  # `--help` looks up there which plugins are disabled
    help="Folder of models, settings and the store.",
)
@click.option("--store", metavar="URL", help="Database URL or SQLite file of the store.")
@click.option("--actor", metavar="NAME", help="Name to record as the actor.")
@click.option(
    "--plugin",
    "plugins",
    metavar="FILE",
    multiple=True,
    help="Python file to use as a plugin for this command (may be repeated).",
)
@click.version_option(__version__, prog_name="muniment", message="%(prog)s %(version)s")
@click.pass_context
def root(
    ctx: click.Context,
    home: str | None,
    store: str | None,
    actor: str | None,
    plugins: tuple[str, ...],
) -> None:
    """Generate text and more with plugins, and keep the evidence of every generation."""
    ctx.obj = CliContext(home, store, actor, plugins)
    ctx.call_on_close(ctx.obj.close)
