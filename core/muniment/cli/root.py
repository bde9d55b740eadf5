"""The root command: global options and the table of command groups."""

from __future__ import annotations

import itertools
from typing import Any

import click

from muniment._version import __version__
from muniment.cli.context import CliContext, Interrupted
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
    "models": ("muniment.cli.models:models", "Add, list, show and remove models."),
    "plugins": ("muniment.cli.plugins:plugins", "List, install and look after plugins."),
    "policy": ("muniment.cli.policy:policy", "Show which filters run, and their effect."),
    "config": ("muniment.cli.config:config", "Read and change settings."),
    "keys": ("muniment.cli.keys:keys", "Create and show the key that signs the record."),
    "db": ("muniment.cli.db:db", "Manage the store."),
}

_ANYWHERE = ("--home", "--store", "--actor", "--plugin")


class _Root(LazyGroup):
    """The root group; its options may stand anywhere on the line, up to a `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Bring the global options to the front, then parse."""
        return super().parse_args(ctx, _global_options_first(ctx, args))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; Ctrl-C becomes an exception that says what to do next, in one line."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None


@click.group(cls=_Root, lazy=COMMANDS, epilog="Global options may stand anywhere on the line.")
@click.option("--home", metavar="FOLDER", help="Where models, settings and the store are kept.")
@click.option("--store", metavar="URL", help="The store: a database URL, or a SQLite file.")
@click.option("--actor", metavar="NAME", help="Who is recorded as having asked.")
@click.option(
    "--plugin",
    "plugins",
    metavar="FILE",
    multiple=True,
    help="Use a plugin of one file, too, this once; may be repeated.",
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


def _global_options_first(ctx: click.Context, args: list[str]) -> list[str]:
    end = args.index("--") if "--" in args else len(args)
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(args[:end])
    for arg in waiting:
        name, equals, _ = arg.partition("=")
        if name not in _ANYWHERE or (name == "--actor" and rest[:1] in (["audit"], ["hold"])):
            rest.append(arg)  # `audit list --actor` is a filter; auditing records nobody
        elif equals:
            front.append(arg)
        elif value := list(itertools.islice(waiting, 1)):
            front += [arg, *value]
        else:
            raise click.BadOptionUsage(arg, f"Option {arg!r} requires an argument.", ctx)
    return [*front, *rest, *args[end:]]
