"""Options of commands that set the parameters of plugin objects."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from muniment.cli.help_language import translated_option
from muniment.errors import UsageError
from muniment.parameters import Field, Parameters

if TYPE_CHECKING:
    from muniment.plugins.objects import RegisteredObject

_Command = TypeVar("_Command", bound=Callable[..., Any])

# The prefixes avoid clashes with the names of a command's own options.
PARAMETER = "parameter_of_generator_"
INPUT = "input_of_generator_"
FILE = "option_of_file_"


def parameter_option(field: Field, prefix: str, taken: Collection[str] = ()) -> click.Option:
    """Return the option that sets a parameter, which parses the text itself.

    A name of one letter gets a short option, too, unless it is one of the `taken` flags.
    """
    declarations, attributes = _declaration(field, prefix)
    if len(field.name) == 1 and f"-{field.name}" not in taken:
        declarations.append(f"-{field.name}")
    return click.Option(declarations, **attributes)


def _declaration(field: Field, prefix: str) -> tuple[list[str], dict[str, Any]]:
    """Return the names of an option and its attributes."""
    flag = f"--{field.name.replace('_', '-')}"
    declarations = [prefix + field.name, flag]
    attributes: dict[str, Any] = {"help": _help(field)}
    if field.type == "boolean":
        declarations[1] = f"{flag}/--no-{flag.removeprefix('--')}"
        attributes["default"] = None
    elif field.type == "choice":
        attributes["type"] = click.Choice(field.choices)
    else:
        attributes["metavar"] = {"integer": "N", "number": "X"}.get(field.type, "TEXT")
        attributes["multiple"] = field.type == "strings"
    return declarations, attributes


def file_options(media_type: RegisteredObject | None) -> list[click.Option]:
    """Return the options of the files that a media type writes."""
    if media_type is None:
        return []
    options = [parameter_option(field, FILE) for field in media_type.parameters.fields().values()]
    return [translated_option(one, media_type.plugin.distribution) for one in options]


def export_options(export: type[Parameters]) -> list[Callable[[_Command], _Command]]:
    """Return the decorators that add the options of the class `Export` of a media type.

    An option that all files have is left out.
    """
    fields = [field for field in export.fields().values() if field.name != "visible_label"]
    declared = [_declaration(field, FILE) for field in fields]
    return [click.option(*names, **attributes) for names, attributes in declared]


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
    return f"{text}  [{', '.join(facts)}]" if facts else text
