"""Options of commands that set the parameters of plugin objects."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import click

from muniment.errors import UsageError
from muniment.parameters import Field

if TYPE_CHECKING:
    from muniment.plugins.registry import RegisteredObject

# The prefixes avoid clashes with the names of a command's own options.
PARAMETER = "parameter_of_generator_"
INPUT = "input_of_generator_"
FILE = "option_of_file_"


def parameter_option(field: Field, prefix: str, taken: Collection[str] = ()) -> click.Option:
    """Return the option that sets a parameter, which parses the text itself.

    A name of one letter gets a short option, too, unless it is one of the `taken` flags.
    """
    flag = f"--{field.name.replace('_', '-')}"
    declarations = [prefix + field.name, flag]
    if len(field.name) == 1 and f"-{field.name}" not in taken:
        declarations.append(f"-{field.name}")
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


def file_options(media_type: RegisteredObject | None) -> list[click.Option]:
    """Return the options of the files that a media type writes."""
    fields = {} if media_type is None else media_type.parameters.fields()
    return [parameter_option(field, FILE) for field in fields.values()]


def take_values(options: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Remove the values with a prefix from a command's arguments. Return those that are set."""
    names = [name for name in options if name.startswith(prefix)]
    values = {name.removeprefix(prefix): options.pop(name) for name in names}
    return {name: value for name, value in values.items() if value not in (None, ())}


def flags(options: list[click.Option]) -> Mapping[str, click.Option]:
    """Return options by their flags."""
    return {flag: option for option in options for flag in (*option.opts, *option.secondary_opts)}


def refuse_clash(generator: RegisteredObject, media_type: RegisteredObject | None) -> None:
    """Raise UsageError if a parameter of a generator has the name of an option of its files."""
    shared = generator.parameters.fields().keys() & (
        media_type.parameters.fields().keys() if media_type else ()
    )
    if shared and media_type:
        raise UsageError(
            f"{min(shared)} is a parameter of generator {generator.name} "
            f"({generator.plugin.distribution}) and an option of files of media type "
            f"{media_type.name} ({media_type.plugin.distribution}); disable one of the plugins"
        )


def _help(field: Field) -> str:
    facts = [field.range] if field.range else []
    if field.type == "strings":
        facts.append("may be repeated")
    elif field.default is not None and field.default != "":
        default = str(field.default)
        facts.append(f"default: {default.lower() if field.type == 'boolean' else default}")
    text = field.help[:1].upper() + field.help[1:]
    return f"{text}  [{'; '.join(facts)}]" if facts else text
