"""The command group `muniment completion`, which completes commands in a shell."""

from __future__ import annotations

import os
from pathlib import Path

import click

from muniment.cli.lazy import LazyGroup
from muniment.cli.output import write_data, write_note
from muniment.errors import UsageError

_VARIABLE = "_MUNIMENT_COMPLETE"  # click reads it, and each script contains it
_SHELLS = ("bash", "zsh", "fish")
_REQUIREMENTS = {
    "bash": "the package bash-completion loads it; without that package, add the line "
    "`source {file}` to ~/.bashrc",
    "zsh": "zsh loads it if ~/.zshrc has the line `fpath=({folder} $fpath)` before the line "
    "`autoload -Uz compinit && compinit`",
    "fish": "fish loads it",
}

_shell_argument = click.argument(
    "shell", metavar="[bash|zsh|fish]", required=False, type=click.Choice(_SHELLS)
)


@click.group(cls=LazyGroup)
def completion() -> None:
    """Complete commands and options in a shell.

    The shell is that of the variable SHELL, unless it is named.
    """


@completion.command
@_shell_argument
@click.pass_context
def show(ctx: click.Context, shell: str | None) -> None:
    """Print the script of a shell.

    `eval "$(muniment completion show bash)"` loads it into a running bash or zsh.
    """
    write_data(_script(ctx, shell or _current_shell()).rstrip("\n"))


@completion.command
@_shell_argument
@click.pass_context
def install(ctx: click.Context, shell: str | None) -> None:
    """Write the script of a shell to the folder from which the shell loads completions.

    No other file is changed. Prints the path of the file, and on standard error how the shell loads
    it and how to undo the installation.
    """
    shell = shell or _current_shell()
    script, file = _script(ctx, shell), _file(shell)
    before = _read(file)
    if before is not None and _VARIABLE not in before:
        raise UsageError(
            f"{file} is not a script of Muniment; move it away, or load "
            f"`muniment completion show {shell}` in the settings of your shell"
        )
    if before != script:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(script, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {file}: {error.strerror}") from None
    write_data(str(file))
    write_note(_REQUIREMENTS[shell].format(file=file, folder=file.parent))
    write_note(f"it applies to new shells; remove {file} to undo it")


def _current_shell() -> str:
    """Return the name of the user's shell. Raise UsageError for one without a script."""
    name = Path(os.environ.get("SHELL", "")).name
    if name not in _SHELLS:
        raise UsageError(
            f"the shell {name!r} has no completion; use {', '.join(_SHELLS[:-1])} or {_SHELLS[-1]}"
            if name
            else f"the variable SHELL is not set; use {', '.join(_SHELLS[:-1])} or {_SHELLS[-1]}"
        )
    return name


def _script(ctx: click.Context, shell: str) -> str:
    """Return the script with which a shell asks `muniment` for completions."""
    from click.shell_completion import get_completion_class

    completer = get_completion_class(shell)
    assert completer is not None
    return completer(ctx.find_root().command, {}, "muniment", _VARIABLE).source()


def _file(shell: str) -> Path:
    """Return the file of the user's completions from which a shell loads those of `muniment`."""
    home = Path.home()
    if shell == "fish":
        config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
        return config / "fish" / "completions" / "muniment.fish"
    if shell == "zsh":
        return home / ".zfunc" / "_muniment"
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    folder = os.environ.get("BASH_COMPLETION_USER_DIR") or data / "bash-completion"
    return Path(folder) / "completions" / "muniment"


def _read(file: Path) -> str | None:
    """Return the text of a file, or None if it does not exist."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None
