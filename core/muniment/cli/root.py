"""The root command with its global options, and the tables of the command groups."""

from __future__ import annotations

import itertools
from typing import Any

import click

from muniment._version import __version__
from muniment.cli.context import HOME_KEY, WORDS_KEY, CliContext, Interrupted
from muniment.cli.lazy import LazyGroup, checked_parser

COMMANDS = {
    "generate": ("muniment.cli.generate:generate", "Generate text or another kind of output."),
    "shell": ("muniment.cli.shell:shell", "Enter one prompt after another."),
    "batch": ("muniment.cli.batch:batch", "Generate for every line of a file."),
    "audit": ("muniment.cli.root:audit", "Search, show, replay and verify recorded generations."),
    "evaluate": ("muniment.cli.evaluate:evaluate", "Score recorded generations."),
    "feedback": (
        "muniment.cli.review:feedback",
        "Rate a generation, comment on it, or record a user's action.",
    ),
    "review": ("muniment.cli.review:review", "Review generations that filters flagged or blocked."),
    "hold": ("muniment.cli.erasure:hold", "Place generations under legal hold."),
    "retention": (
        "muniment.cli.erasure:retention",
        "Set how long texts are kept, and erase expired ones.",
    ),
    "models": ("muniment.cli.models:models", "Add, list, show, verify and remove models."),
    "plugins": ("muniment.cli.root:plugins", "List, install and manage plugins."),
    "policy": ("muniment.cli.config:policy", "Show which filters run, and their effect."),
    "config": ("muniment.cli.config:config", "Read and change settings."),
    "keys": ("muniment.cli.signatures:keys", "Create and show the key that signs the record."),
    "db": ("muniment.cli.db:db", "Manage the store."),
    "completion": (
        "muniment.cli.completion:completion",
        "Complete commands and options in a shell.",
    ),
    "help": ("muniment.cli.help:help_", "Show the help of a command."),
}

_ANYWHERE = ("--home", "--store", "--actor", "--plugin")


class _Root(LazyGroup):
    """The root group, whose options may stand anywhere on the line before a `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move the global options to the front, then parse."""
        return super().parse_args(ctx, self._global_options_first(ctx, args))

    def make_parser(self, ctx: click.Context) -> Any:
        """Return the parser of `checked_parser`, for the global options, too."""
        return checked_parser(super().make_parser(ctx), ctx)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and turn Ctrl-C and bugs of a plugin into errors of one line."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None
        except Interrupted:
            raise
        except Exception as error:
            command = ctx.meta.get("muniment.plugin_command")
            if command is None:
                raise
            from muniment.plugins.commands import raise_failure

            raise_failure(command, error)

    def _global_options_first(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        homes = [
            following if arg == "--home" else arg.removeprefix("--home=")
            for arg, following in itertools.zip_longest(args[:end], args[1:end])
            if arg.partition("=")[0] == "--home"
        ]
        ctx.meta[HOME_KEY] = homes[-1] if homes else None  # several are refused by the parser
        front: list[str] = []
        rest: list[str] = []
        remaining = iter(args[:end])
        for arg in remaining:
            name, equals, _ = arg.partition("=")
            if name not in _ANYWHERE or (name == "--actor" and self._has_actor_filter(ctx, rest)):
                rest.append(arg)
            elif equals:
                front.append(arg)
            elif (value := list(itertools.islice(remaining, 1))) or ctx.resilient_parsing:
                front += [arg, *value]
            else:
                raise click.BadOptionUsage(arg, f"Option {arg!r} requires an argument.", ctx)
        ctx.meta[WORDS_KEY] = rest
        return [*front, *rest, *args[end:]]

    def _has_actor_filter(self, ctx: click.Context, words: list[str]) -> bool:
        """Return whether `--actor` after these words filters generations by their actor.

        It does in `audit` and `hold`, in `review queue`, which records no actor, and in a command
        of a plugin that declares the option itself.
        """
        if words[:1] in (["audit"], ["hold"]) or words[:2] == ["review", "queue"]:
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


@click.group(
    cls=_Root,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Global options may stand anywhere on the line.",
)
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
@click.version_option(
    __version__, "-V", "--version", prog_name="muniment", message="%(prog)s %(version)s"
)
@click.pass_context
def root(
    ctx: click.Context,
    home: str | None,
    store: str | None,
    actor: str | None,
    plugins: tuple[str, ...],
) -> None:
    """Generate text and more with plugins, and keep the evidence of every generation."""
    if plugins:
        from muniment.plugins.discovery import file_plugins

        file_plugins(plugins)  # raises an error even where the command loads no plugin
    ctx.obj = CliContext(home, store, actor, plugins)
    ctx.call_on_close(ctx.obj.close)


_AUDIT = {
    "list": ("muniment.cli.audit_list:list_", "List generations, newest first."),
    "search": (
        "muniment.cli.audit_search:search",
        "Search prompts, inputs, outputs and reasons, newest first.",
    ),
    "stats": (
        "muniment.cli.audit_stats:stats",
        "Count generations by status, model, actor, day and more.",
    ),
    "tail": (
        "muniment.cli.audit_tail:tail",
        "Show the newest generations, or follow new ones with -f.",
    ),
    "diff": (
        "muniment.cli.audit_diff:diff",
        "Show the differences between two generations.",
    ),
    "lineage": (
        "muniment.cli.audit_lineage:lineage",
        "Show parents and children of a generation, and the trainings of its models.",
    ),
    "show": ("muniment.cli.audit_show:show", "Show the record of a generation."),
    "find": (
        "muniment.cli.audit_find:find",
        "Find the generation that a file came from or that used it, and show it.",
    ),
    "get": ("muniment.cli.audit_get:get", "Get the output of a generation, with its provenance."),
    "runs": ("muniment.cli.audit_runs:runs", "List runs, newest first."),
    "replay": ("muniment.cli.audit_replay:replay", "Generate again and compare with the record."),
    "verify": ("muniment.cli.signatures:verify", "Check that the record was not altered."),
    "checkpoint": ("muniment.cli.signatures:checkpoint", "Print the newest signed checkpoint."),
    "prove": (
        "muniment.cli.signatures:prove",
        "Write a proof that can be checked without the store.",
    ),
    "erase": (
        "muniment.cli.erasure:erase",
        "Erase prompts, inputs, outputs and all other texts of generations permanently.",
    ),
    "export": ("muniment.cli.audit_export:export", "Export generations to a file, newest first."),
}


@click.group(cls=LazyGroup, lazy=_AUDIT)
def audit() -> None:
    """Search, show, replay and verify recorded generations."""


_PLUGINS = {
    "list": ("muniment.cli.plugins_list:list_", "List the installed plugins."),
    "show": ("muniment.cli.plugins:show", "Show the details and history of a plugin."),
    "enable": ("muniment.cli.plugins:enable", "Enable plugins that were disabled."),
    "disable": (
        "muniment.cli.plugins:disable",
        "Disable plugins without uninstalling them.",
    ),
    "doctor": (
        "muniment.cli.plugins:doctor",
        "Load every plugin in its own process, and repair an interrupted change.",
    ),
    "new": ("muniment.cli.plugins_new:new", "Write the files of a new plugin, with tests."),
}


@click.group(cls=LazyGroup, lazy=_PLUGINS)
def plugins() -> None:
    """List, install and manage plugins.

    muniment-installer adds the commands that change what is installed.
    """
