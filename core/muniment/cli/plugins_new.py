"""`muniment plugins new`: the files of a plugin that works, to be changed into one's own."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

import click

from muniment._version import __version__
from muniment.cli.output import write_data, write_note
from muniment.errors import MunimentError, UsageError

_TEMPLATES = Path(__file__).with_name("templates")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 50

_SENTENCES = {
    "generator": "Says the words of a prompt in an order that the seed decides.",
    "filter": "Blocks texts that say one of the words it was given.",
    "evaluator": "Measures how many words came out, and how many are different ones.",
}
_USES = {
    "generator": '$ muniment generate @NAME@ "to be or not to be" --times 2 --seed 7',
    "filter": "$ echo '{policy: house, version: 1, filters: [{filter: @NAME@}]}' > house.yaml\n"
    "$ muniment policy show house.yaml",
    "evaluator": "$ muniment plugins show @DISTRIBUTION@",
}


@click.command("new")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(list(_SENTENCES)),
    required=True,
    help="What it offers; it can be more than one later.",
)
@click.option(
    "--into", metavar="FOLDER", default=".", help="Where its folder is made; here, if left away."
)
def new(name: str, kind: str, into: str) -> None:
    """Write the files of a new plugin, which works and passes its tests.

    NAME is what it will be asked for by; its distribution, and the folder that is made, are called
    muniment-NAME. Nothing that is there is overwritten. Prints the folder.
    """
    name = name.removeprefix("muniment-")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise UsageError(
            f"{name!r} is no name for a plugin; use a-z, 0-9 and single hyphens, a letter first, "
            f"{_LONGEST} characters at most"
        )
    folder = Path(into).expanduser() / f"muniment-{name}"
    files = _files(name, kind)
    try:
        folder.mkdir()
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8", newline="\n")
    except FileExistsError:
        raise UsageError(
            f"{folder} is there already; choose another name, or move it away"
        ) from None
    except OSError as error:
        raise MunimentError(f"cannot write {error.filename}: {error.strerror}") from None
    write_data(str(folder))
    write_note(
        f"wrote {', '.join(files)}; then `pip install -e '{folder}[test]'`, and `pytest` in it"
    )


def _files(name: str, kind: str) -> dict[str, str]:
    """Return the contents of the files by their paths below the plugin's folder."""
    module = f"muniment_{name.replace('-', '_')}"
    said = "".join(part.capitalize() for part in name.split("-"))
    major, minor, *_ = __version__.split(".")
    words = {
        "USE": _USES[kind],
        "KIND_ARTICLE": f"{'An' if kind == 'evaluator' else 'A'} {kind}",
        "SENTENCE": _SENTENCES[kind],
        "DISTRIBUTION": f"muniment-{name}",
        "NAME": name,
        "MODULE": module,
        "CLASS": f"{said}{kind.capitalize()}" if keyword.iskeyword(said) else said,
        "REQUIRED": f">={major}.{minor},<{major}.{int(minor) + 1}",
    }
    templates = {
        "pyproject.toml": "pyproject.toml",
        f"{module}.py": f"{kind}.py",
        "README.md": "README.md",
        "tests/test_contract.py": f"{kind}_test.py",
        ".github/workflows/test.yml": "test.yml",
    }
    return {path: _filled(template, words) for path, template in templates.items()}


def _filled(template: str, words: dict[str, str]) -> str:
    text = (_TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
