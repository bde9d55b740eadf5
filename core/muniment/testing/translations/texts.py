"""The texts of a distribution that are translated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import click

from muniment.cli.lazy import LazyGroup
from muniment.cli.parameter_options import PARAMETER, parameter_option
from muniment.cli.translated_help import FACTS, WORDS, split_facts
from muniment.cli.translation import CORE, locale_folder, paragraphs
from muniment.config import SETTINGS, normalised
from muniment.errors import UsageError
from muniment.parameters import Parameters
from muniment.plugins import discovery
from muniment.plugins.discovery import Plugin
from muniment.plugins.objects import RegisteredObject
from muniment.plugins.registry import Plugins

# A text, or its singular and plural.
Message: TypeAlias = str | tuple[str, str]


def texts(distribution: str) -> dict[Message, str]:
    """Return the texts of a distribution that are translated, each with the place that shows it.

    They are the help of its commands and of the parameters, inputs and files of its objects. Those
    that its code passes to `gettext` and `ngettext` follow. Texts of Muniment itself are left out
    for other distributions.
    """
    found: dict[Message, str] = {}
    for message, place in _all_texts(distribution):
        found.setdefault(message, place)
    core = {} if normalised(distribution) == CORE else texts(CORE)
    return {message: place for message, place in found.items() if message not in core}


def _all_texts(distribution: str) -> Iterator[tuple[Message, str]]:
    if normalised(distribution) == CORE:
        yield from _core_texts()
    else:
        yield from _plugin_texts(normalised(distribution))
    yield from _source_texts(package_of(distribution))


def _core_texts() -> Iterator[tuple[Message, str]]:
    from muniment.cli import generate, shell
    from muniment.cli.root import root

    for word in (*WORDS, *FACTS):
        yield word, "muniment --help"
    yield from _command_texts(root, "muniment")
    for key, meaning in SETTINGS.items():
        yield meaning, f"muniment config list --known {key}"
    stub = Plugin("DISTRIBUTION", "VERSION", "", "")
    generator = RegisteredObject("generator", "NAME", stub, "x:X", "text/plain", Parameters)
    yield from _parameter_texts(generate.command_of("NAME", generator), "muniment generate NAME")
    yield from _parameter_texts(shell.command_of("NAME", generator), "muniment shell NAME")


def _plugin_texts(distribution: str) -> Iterator[tuple[Message, str]]:
    from muniment.plugins.commands import load_command

    for item in discovery.installed_commands():
        if normalised(item.distribution) == distribution:
            if not item.group and item.summary:
                yield item.summary, "muniment --help"
            yield from _command_texts(load_command(item), f"muniment {item.words}")
    plugins = Plugins()
    plugins.load()
    for kind in ("generator", "media_type"):
        for registered in plugins.objects(kind):
            if normalised(registered.plugin.distribution) != distribution:
                continue
            place = f"{kind.replace('_', ' ')} {registered.name}"
            for field in registered.parameters.fields().values():
                text = parameter_option(field, PARAMETER).help or ""
                yield from ((part, place) for part in paragraphs(split_facts(text)[0]))
            for spec in registered.inputs:
                yield from ((part, place) for part in paragraphs(spec.help))


def _command_texts(command: click.Command, path: str) -> Iterator[tuple[Message, str]]:
    """Yield the texts in the help of a command and of its own commands."""
    for text in (command.help, command.short_help, command.epilog):
        yield from ((part, path) for part in paragraphs(text or ""))
    yield from _parameter_texts(command, path)
    nested = dict(command.commands) if isinstance(command, click.Group) else {}
    if isinstance(command, LazyGroup):
        for _, line in command.lazy.values():
            yield line, path
        nested |= {name: command.own_command(name) for name in command.own_names}
    for name, below in nested.items():
        yield from _command_texts(below, f"{path} {name}")


def _parameter_texts(command: click.Command, path: str) -> Iterator[tuple[Message, str]]:
    for parameter in command.params:
        for attribute in ("help", "prompt"):
            if isinstance(text := getattr(parameter, attribute, None), str):
                sentences, _ = split_facts(text)
                yield from ((part, f"{path} {parameter.opts[0]}") for part in paragraphs(sentences))


def _source_texts(package: Path) -> Iterator[tuple[Message, str]]:
    """Yield the texts that Python code passes to `gettext` and `ngettext`."""
    from babel.messages.extract import extract_from_dir

    keywords: Any = {"gettext": None, "ngettext": (1, 2)}
    for name, _, message, _, _ in extract_from_dir(package, keywords=keywords):
        yield (message if isinstance(message, str) else (message[0], message[1])), name


def package_of(distribution: str) -> Path:
    """Return the folder of a distribution's package. Raise UsageError if it has none."""
    folder = locale_folder(distribution)
    if folder is None:
        raise UsageError(
            f"no package of the distribution {distribution} is installed; install it first, with "
            "an entry point of the group muniment.v1 or muniment.commands"
        )
    return folder.parent
