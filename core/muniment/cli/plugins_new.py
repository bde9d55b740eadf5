"""`muniment plugins new`: write the files of a small plugin that works."""

from __future__ import annotations

import keyword
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from muniment._version import __version__
from muniment.cli.output import write_data, write_note
from muniment.errors import MunimentError, UsageError
from muniment.plugins.discovery import COMMAND_GROUP, ENTRY_POINT_GROUP

if TYPE_CHECKING:
    from muniment.plugins.declarations import Kind

_TEMPLATES = Path(__file__).with_name("templates")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 50


# The values of the templates that depend on the kind.
_KINDS = {
    "generator": {
        "KIND_ARTICLE": "A generator",
        "SENTENCE": "Shuffles the words of the prompt; the seed decides the order.",
        "USE": '$ muniment generate @NAME@ "to be or not to be" --times 2 --seed 7',
    },
    "filter": {
        "KIND_ARTICLE": "A filter",
        "SENTENCE": "Blocks texts that contain one of its words.",
        "USE": "$ echo '{policy: words, version: 1, filters: [{filter: @NAME@}]}' > words.yaml\n"
        "$ muniment policy show words.yaml",
    },
    "evaluator": {
        "KIND_ARTICLE": "An evaluator",
        "SENTENCE": "Measures the number of words, and the share of different words among them.",
        "USE": "$ muniment plugins show @DISTRIBUTION@",
    },
    "media_type": {
        "KIND_ARTICLE": "A media type",
        "SENTENCE": "Describes, compares and exports grey images (PGM), with the id in the file.",
        "USE": "$ muniment plugins show @DISTRIBUTION@",
    },
    "command": {
        "KIND_ARTICLE": "A command",
        "SENTENCE": "Counts the words of each generator's outputs.",
        "USE": "$ muniment @NAME@ --since 7d",
    },
}


@click.command("new")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(list(_KINDS)),
    required=True,
    help="Kind of the plugin.",
)
@click.option(
    "--into",
    metavar="FOLDER",
    default=".",
    help="Parent folder of the plugin's folder (default: the current one).",
)
def new(name: str, kind: str, into: str) -> None:
    """Write the files of a new plugin, with tests.

    NAME is the name of its generator, filter, evaluator, media type or command. The distribution,
    and the folder, are named muniment-NAME. An installed plugin must not have the name. No file is
    overwritten. Prints the folder.
    """
    name = name.removeprefix("muniment-")
    _check_name(name, kind)
    folder = Path(os.path.expanduser(into)) / f"muniment-{name}"
    files = _files(name, kind)
    try:
        folder.mkdir()
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8", newline="\n")
    except FileExistsError:
        raise UsageError(f"{folder} exists already; use another name, or move it") from None
    except OSError as error:
        raise MunimentError(f"cannot write {error.filename}: {error.strerror}") from None
    write_data(str(folder))
    write_note(
        f"wrote {', '.join(files)}; run `pip install -e '{folder}[test]'`, then `pytest` in it"
    )


def _check_name(name: str, kind: str) -> None:
    from muniment.cli.root import COMMANDS

    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise UsageError(
            f"{name!r} is not a name for a plugin; use a-z, 0-9 and single hyphens, a letter "
            f"first, {_LONGEST} characters at most"
        )
    if kind == "command" and name in COMMANDS:
        raise UsageError(f"`muniment {name}` is a command of Muniment itself; use another name")
    if owner := _owner(name, kind):
        raise UsageError(f"the name {name} is taken by {owner}, which is installed; use another")


def _owner(name: str, kind: str) -> str | None:
    """Return the installed distribution that has the name of a new plugin, or None."""
    from muniment.plugins.discovery import installed_commands
    from muniment.plugins.registry import Plugins
    from muniment.plugins.state import distributions

    distribution = f"muniment-{name}"
    if distribution in distributions():
        return distribution
    if kind == "command":
        owners = {command.name: command.distribution for command in installed_commands()}
    else:
        owners = {
            registered.name: registered.plugin.distribution
            for registered in Plugins().objects(cast("Kind", kind))
        }
    return owners.get(name)


def _files(name: str, kind: str) -> dict[str, str]:
    """Return the contents of the files by their paths below the plugin's folder."""
    module = f"muniment_{name.replace('-', '_')}"
    words = "".join(part.capitalize() for part in name.split("-"))
    function = name.replace("-", "_")
    function += "_" if keyword.iskeyword(function) else ""
    command = kind == "command"
    major, minor, *_ = __version__.split(".")
    values = {
        **_KINDS[kind],
        "GROUP_COMMENT": "# The key is the command; the value is the module and the function."
        if command
        else "# The group is the version of the contract; the value is the module.",
        "GROUP": COMMAND_GROUP if command else ENTRY_POINT_GROUP,
        "TARGET": f"{module}:{function}" if command else module,
        "DISTRIBUTION": f"muniment-{name}",
        "NAME": name,
        "MODULE": module,
        "FUNCTION": function,
        "CLASS": f"{words}{kind.title().replace('_', '')}" if keyword.iskeyword(words) else words,
        "REQUIRED": f">={major}.{minor},<{major}.{int(minor) + 1}",
    }
    templates = {
        "pyproject.toml": "pyproject.toml",
        f"{module}.py": f"{kind}.py",
        "README.md": "README.md",
        "tests/test_contract.py": f"{kind}_test.py",
        ".github/workflows/test.yml": "test.yml",
    }
    return {path: _filled(template, values) for path, template in templates.items()}


def _filled(template: str, values: dict[str, str]) -> str:
    text = (_TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text
