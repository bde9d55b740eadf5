"""Command-line options built from a generator's parameters."""

from __future__ import annotations

from typing import Any

import click

from muniment.parameters import Field

_PREFIX = "parameter_of_generator_"  # avoids clashes with the command's own options


def given(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that set parameters, by the parameters' names."""
    return {name.removeprefix(_PREFIX): value for name, value in arguments.items()}


def option(field: Field) -> click.Option:
    """Return the option that sets a parameter, which parses the text itself."""
    flag = f"--{field.name.replace('_', '-')}"
    declarations = [_PREFIX + field.name, flag]
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


def _help(field: Field) -> str:
    facts = [field.range] if field.range else []
    if field.type == "strings":
        facts.append("may be repeated")
    elif field.default is not None and field.default != "":
        default = str(field.default)
        facts.append(f"default: {default.lower() if field.type == 'boolean' else default}")
    text = field.help[:1].upper() + field.help[1:]
    return f"{text}  [{'; '.join(facts)}]" if facts else text
