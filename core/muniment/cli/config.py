"""The command groups `muniment config` and `muniment policy`."""

from __future__ import annotations

import re
import shlex

import click

from muniment.cli import exit_codes
from muniment.cli.context import CliContext
from muniment.cli.lazy import LazyGroup
from muniment.cli.listing import emit
from muniment.cli.options import headers_option, json_option
from muniment.cli.output import one_line, warn_broken, write_data, write_json, write_note
from muniment.config import SETTINGS, normalised, write_setting
from muniment.errors import UsageError
from muniment.language import gettext


@click.group(cls=LazyGroup)
def config() -> None:
    """Read and change settings.

    `muniment config list --known` lists all known settings.
    """


@config.command
@click.argument("key")
@json_option
@click.pass_obj
def get(context: CliContext, key: str, as_json: bool) -> int:
    """Print the value of a setting.

    The exit code is 1 if it is not set.
    """
    value = context.config.get(key)
    if as_json:
        write_json({"key": key, "value": value})
    elif value is None:
        write_note(f"{key} is not set")
    else:
        write_data(value)
    return exit_codes.FAILED if value is None else exit_codes.DONE


def _refuse_option(ctx: click.Context, _: click.Parameter, value: str | None) -> str | None:
    """Return an argument. Raise NoSuchOption for one like an option, unless it is a number."""
    if value and re.match(r"-(?![\d.])", value):
        raise click.NoSuchOption(value, ctx=ctx)
    return value


# A value such as -1 is no option.
@config.command("set", context_settings={"ignore_unknown_options": True})
@click.argument("key", callback=_refuse_option)
@click.argument("value", metavar="VALUE", required=False, callback=_refuse_option)
@click.pass_obj
def set_(context: CliContext, key: str, value: str | None) -> None:
    """Change or remove a setting.

    An empty VALUE removes it. A relative path is stored as an absolute path, so that it is valid in
    every folder. The stored value is printed on standard error.
    """

    if value is None:
        name, equals, given = key.partition("=")
        command = f"muniment config set {name} {shlex.quote(given) if given else 'VALUE'}"
        remedy = f"run `{command}`"
        if not equals:
            remedy += f", or `muniment config unset {name}` to remove the setting"
        raise UsageError(f"the value of the setting {name!r} is missing; {remedy}")

    def resolve(key: str, value: str) -> str:
        if key == "actor" or key.startswith("plugin."):
            return value  # a session needs a valid actor, and valid settings of its plugins
        from muniment.generation.settings import resolved_setting

        return resolved_setting(key, value, context.session.plugins, context.session.models)

    _write_stored(key, write_setting(context.home, key, value or None, resolve))
    if key.startswith("plugin.") and value:
        from muniment.plugins.discovery import installed_plugins

        name = key.removeprefix("plugin.").rpartition(".")[0]
        known = {normalised(plugin.distribution) for plugin in installed_plugins()}
        if normalised(name) not in known:
            write_note(
                f"no installed plugin is named {name}, so this has no effect yet; run "
                "`muniment plugins list` to see the names"
            )


@config.command
@click.argument("key")
@click.pass_obj
def unset(context: CliContext, key: str) -> None:
    """Remove a setting.

    KEY may also be a line of the settings file that is not a setting, and stops other commands.
    """
    _write_stored(key, write_setting(context.home, key, None))


def _write_stored(key: str, value: str | None) -> None:
    state = "is not set now" if value is None else f"is set to {value}"
    write_note(one_line(f"{key} {state}"))


@config.command("list")
@click.option("--known", is_flag=True, help="List all known settings and their meaning.")
@headers_option
@json_option
@click.pass_obj
def list_(context: CliContext, known: bool, as_json: bool) -> None:
    """List the settings that have a value."""
    values, name = (SETTINGS, "meaning") if known else (context.config.items(), "value")
    if known and not as_json:
        values = {key: gettext(meaning) for key, meaning in values.items()}
    records = [{"key": key, name: value} for key, value in values.items()]
    emit(records, [("key", "key"), (name, name)], as_json, empty="no setting has a value")


_RULE = ("filter", "stages", "mode", "time_limit", "thresholds", "parameters")


@click.group(cls=LazyGroup)
def policy() -> None:
    """Show which filters run, and their effect."""


@policy.command
@click.argument("name", metavar="[FILE_OR_NAME]", required=False)
@json_option
@click.pass_obj
def show(context: CliContext, name: str | None, as_json: bool) -> int:
    """Show a policy.

    Without a name, shows the policy in force. Standard output is the policy's file, which
    `--policy FILE` accepts, and its name and source are on standard error. Its filters are created
    as for a generation. A filter that cannot be created is reported and makes the exit code 1. It
    blocks everything that it should check. A policy with a parameter that its filter rejects is
    invalid, and nothing is generated under it.
    """
    from muniment.generation.assessment import PolicyRunner
    from muniment.generation.policy import resolve_policy

    policy = resolve_policy(name if name is not None else context.config.get("policy"))
    plugins = context.session.plugins
    failures = PolicyRunner(policy, plugins).failures
    warn_broken(plugins.load())
    if as_json:
        write_json(
            {
                "policy": policy.name,
                "version": policy.version,
                "policy_digest": policy.digest,
                "source": policy.source,
                "filters": [
                    {name: getattr(rule, name) for name in _RULE} for rule in policy.filters
                ],
                "failures": failures,
            }
        )
    else:
        write_note(f"policy {one_line(policy.label)}, source: {one_line(policy.source)}")
        if not policy.filters:
            write_note("this policy has no filters")
        write_data(policy.document.rstrip("\n"))
    for failure in failures:
        write_note(
            f"Error: {one_line(failure)}; everything it should check is blocked, so fix it or "
            "remove it from the policy"
        )
    return exit_codes.FAILED if failures else exit_codes.DONE
