"""The program `muniment-verify`, which checks a proof without the store or a network.

It is separate from `muniment` for people who trust neither the store nor its operator. It reads
one file and a public key, and imports only pure functions of the ledger.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn, TextIO

from msgspec import to_builtins

from muniment._version import __version__
from muniment.errors import UsageError
from muniment.escapes import escaped
from muniment.language import gettext, language
from muniment.ledger import checkpoints, proofs
from muniment.ledger.checkpoints import Checkpoint, CheckpointFormatError, Note
from muniment.ledger.entries import Entry
from muniment.ledger.fields import moment
from muniment.ledger.keys import PublicKey
from muniment.ledger.proofs import DisclosedPayload, Proof, ProofError, ProofFormatError
from muniment.times import iso

DONE, FAILED, USAGE, UNVERIFIED = 0, 1, 2, 4

_IS_KEY = re.compile(r"\+[0-9a-f]{8}\+|^PRIVATE\+")  # also one that is incomplete
_COMMITMENT = re.compile(r"[0-9a-f]{64}")
_LEAST_WIDTH, _MOST_WIDTH = 20, 80  # columns of help
_EXCERPT = 200  # characters of a disclosed text


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify one file and return 0 if it is valid, 4 if not, and 2 if it cannot be checked."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options = _options(arguments)
    try:
        return _verify(options.file, options.key, options.checkpoint, options.as_json)
    except UsageError as error:
        _print(f"Error: {error}", sys.stderr)
        return USAGE
    except BrokenPipeError:
        return FAILED


def _verify(file: str, key_argument: str, expected_file: str | None, as_json: bool) -> int:
    key = public_key(key_argument)
    expected = None if expected_file is None else read_checkpoint(expected_file).checkpoint
    try:
        proof = proofs.parse_proof(_bytes(file))
        head, entries = proof.verify(key)
        if expected is not None and head != expected:
            raise ProofError("the proof's checkpoint", f"is not the one in {expected_file}")
    except (ProofFormatError, ProofError) as error:
        if as_json:
            _print(json.dumps({"ok": False, "key": str(key), "problem": str(error)}))
        else:
            _print(f"failed  {error}")
            remedy = gettext(
                "this file proves nothing; check that the key and the checkpoint are those that "
                "the signer published, and ask for a new proof"
            )
            _print(remedy, sys.stderr)
        return UNVERIFIED
    if as_json:
        _print(json.dumps(_report(proof, head, entries, key), ensure_ascii=False))
        return DONE
    _print(f"ok    {key.name} signed the checkpoint: {head.size:,} entries, root {head.root.hex()}")
    for number, entry in entries.items():
        _print(f"ok    entry {number} is in the signed log: {_summary(entry)}")
    for payload in proof.disclosed:
        suffix = f" {payload.position + 1}" if payload.position else ""
        _print(
            f"ok    {payload.kind}{suffix} is the text recorded in entry {payload.entry}: "
            f"{_excerpt(payload)}"
        )
    _print("verified")
    meaning = gettext(
        "this proves that the key's holder recorded these entries before signing the checkpoint, "
        "not that they are true or that nothing else was generated; an outcome, feedback, reviews "
        "and replays that were left out cannot be noticed"
    )
    _print(meaning, sys.stderr)
    return DONE


class _Parser(argparse.ArgumentParser):
    """A parser with the help of a command of `muniment`, and with mistakes in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the mistake and exit with the code for usage errors."""
        _print(f"Error: {message}. Try '{self.prog} --help'.", sys.stderr)
        self.exit(USAGE)

    def format_help(self) -> str:
        """Return the help, in the language of the user."""
        from rich.cells import cell_len

        from muniment.line_breaking import wrap

        width = max(min(shutil.get_terminal_size().columns, _MOST_WIDTH) - 2, _LEAST_WIDTH)
        options = [
            (
                " ".join([", ".join(action.option_strings), *([str(metavar)] if metavar else [])]),
                f"{action.help}  [{gettext('required')}]" if action.required else f"{action.help}",
            )
            for action in self._actions
            for metavar in [action.metavar]
            if action.option_strings
        ]
        longest = max(cell_len(term) for term, _ in options)
        indent = " " * min(longest + 4, width // 2)
        space, colon = ("", "：") if language() == "zh" else (" ", ":")
        metavar = gettext("options").upper()
        lines = [
            *wrap(f"{gettext('Usage:')}{space}{self.prog} [{metavar}] FILE", width, "    ", ""),
            "",
            *wrap(self.description or "", width, "  "),
            "",
            f"{gettext('Options')}{colon}",
        ]
        for term, text in options:
            start = f"  {term}"
            if cell_len(start) + 2 > len(indent):
                lines.append(start)
                start = ""
            lines += wrap(text, width, indent, f"{start:<{len(indent)}}")
        return "\n".join([*lines, "", *wrap(self.epilog or "", width, "  "), ""])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(
        prog="muniment-verify",
        description=gettext(
            "Check a proof written by `muniment audit prove`, without store or network. FILE is "
            "the proof, or - for standard input."
        ),
        epilog=gettext("Exit codes: 0 valid proof, 4 invalid proof, 2 unreadable file or key."),
        add_help=False,
    )
    parser.add_argument("file", metavar="FILE")
    parser.add_argument(
        "--key", metavar="PUB", required=True, help=gettext("Signer's public key, or its file.")
    )
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        help=gettext("Published checkpoint that the proof must contain."),
    )
    parser.add_argument(
        "--json", dest="as_json", action="store_true", help=gettext("Print one JSON object.")
    )
    parser.add_argument(
        *("-V", "--version"),
        action="version",
        version=f"%(prog)s {__version__}",
        help=gettext("Show the version and exit."),
    )
    parser.add_argument("-h", "--help", action="help", help=gettext("Show this message and exit."))
    return parser.parse_args(arguments)


def public_key(argument: str) -> PublicKey:
    """Return the key that the argument is, or that its file contains. Raises UsageError."""
    remedy = "use a public key, or a file that has one"
    try:
        if os.path.exists(argument):
            return PublicKey.parse(Path(argument).read_text("utf-8"))
        if _IS_KEY.search(argument):
            return PublicKey.parse(argument)
    except UnicodeDecodeError:
        raise UsageError(f"--key {argument}: the file is not UTF-8 text; {remedy}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"--key {argument}: {_reason(error)}; {remedy}") from None
    raise UsageError(f"--key {argument}: there is no such file; {remedy}")


def read_checkpoint(path: str) -> Note:
    """Return the checkpoint in a file. Raises UsageError if there is none."""
    try:
        return checkpoints.parse_note(_bytes(path).decode())
    except (CheckpointFormatError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path}: {error}; use a file that `muniment audit checkpoint` wrote"
        ) from None


def _bytes(path: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {_reason(error)}; check the path") from None


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _summary(entry: Entry) -> str:
    """Return the kind and the short fields of an entry."""
    facts = {
        name: _time(value) if name == "at" else str(value)
        for name, value in to_builtins(entry).items()
        if isinstance(value, str | int) and not _COMMITMENT.fullmatch(str(value))
    }
    kind, _ = facts.pop("kind"), facts.pop("version")
    if kind == "outcome":  # its field names the entry that started the generation
        facts["generation"] = f"of entry {facts['generation']}"
    return ", ".join([kind, *(f"{name} {value}" for name, value in facts.items())])


def _time(milliseconds: int | str) -> str:
    try:
        return iso(moment(int(milliseconds)))
    except (ValueError, OverflowError, OSError):  # outside the years of datetime
        return f"{milliseconds} ms"


def _excerpt(payload: DisclosedPayload) -> str:
    try:
        text = payload.content.decode()
    except UnicodeDecodeError:
        return f"{len(payload.content):,} bytes"
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"


def _report(
    proof: Proof, head: Checkpoint, entries: Mapping[int, Entry], key: PublicKey
) -> dict[str, object]:
    return {
        "ok": True,
        "key": str(key),
        "log": head.origin,
        "size": head.size,
        "root": head.root.hex(),
        "entries": [
            {"number": number, "entry": to_builtins(entry)} for number, entry in entries.items()
        ],
        "disclosed": [
            {
                "entry": payload.entry,
                "kind": payload.kind,
                "position": payload.position,
                "bytes": len(payload.content),
            }
            for payload in proof.disclosed
        ],
    }


def _print(text: str, stream: TextIO | None = None) -> None:
    """Write one line, with hidden characters escaped."""
    (stream or sys.stdout).write(f"{escaped(text)}\n")


if __name__ == "__main__":
    sys.exit(main())
