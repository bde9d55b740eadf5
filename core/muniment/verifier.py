"""`muniment-verify FILE --key PUB`: check a proof without the store, its operator or a network.

A program of its own for who trusts none of these: it reads one file, needs the public key of
whoever signed, and uses the ledger's pure functions alone.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from muniment._version import __version__
from muniment.errors import UsageError
from muniment.ledger import checkpoints, proofs
from muniment.ledger.checkpoints import Checkpoint, CheckpointFormatError, Note
from muniment.ledger.entries import Body, moment
from muniment.ledger.keys import PublicKey
from muniment.ledger.proofs import DisclosedPayload, Proof, ProofError, ProofFormatError

DONE, FAILED, USAGE, UNVERIFIED = 0, 1, 2, 4

_COMMITMENT = re.compile(r"[0-9a-f]{64}")
_SHOWN = 200  # characters of a disclosed text
_MEANING = (
    "this shows that the key's holder recorded it before signing the checkpoint, "
    "not that it is true, nor that nothing else was generated"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify one file; return 0 when it holds, 4 when it does not, 2 when that cannot be told."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options = _options(arguments)
    try:
        return _verify(options.file, options.key, options.checkpoint, options.as_json)
    except UsageError as error:
        _say(f"Error: {error}", sys.stderr)
        return USAGE
    except BrokenPipeError:
        return FAILED


def _verify(file: str, given: str, expected: str | None, as_json: bool) -> int:
    key = public_key(given)
    wanted = None if expected is None else read_checkpoint(expected).checkpoint
    try:
        proof = proofs.parse(_bytes(file))
        head, bodies = proof.verify(key)
        if wanted is not None and head != wanted:
            raise ProofError("the proof's checkpoint", f"is not the one in {expected}")
    except (ProofFormatError, ProofError) as error:
        if as_json:
            _say(json.dumps({"ok": False, "key": str(key), "problem": str(error)}))
        else:
            _say(f"failed  {error}")
        return UNVERIFIED
    if as_json:
        _say(json.dumps(_report(proof, head, bodies, key), ensure_ascii=False))
        return DONE
    _say(f"good  {key.name} signed the checkpoint: {head.size:,} entries, root {head.root.hex()}")
    for number, body in bodies.items():
        _say(f"good  entry {number} is among them: {_summary(body)}")
    for payload in proof.disclosed:
        of_many = f" {payload.position + 1}" if payload.position else ""
        _say(
            f"good  {payload.kind}{of_many} is what entry {payload.entry} committed to: "
            f"{_excerpt(payload)}"
        )
    _say("verified")
    _say(_MEANING, sys.stderr)
    return DONE


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="muniment-verify",
        description="Check a proof that `muniment audit prove` wrote; needs no store or network.",
        epilog="Exit codes: 0 the proof holds, 4 it does not, 2 a file or the key cannot be read.",
    )
    parser.add_argument("file", metavar="FILE", help="the proof; - is standard input")
    parser.add_argument(
        "--key", metavar="PUB", required=True, help="the signer's public key, or a file with it"
    )
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="a published checkpoint that the proof must be of"
    )
    parser.add_argument("--json", dest="as_json", action="store_true", help="print one JSON object")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser.parse_args(arguments)


def public_key(given: str) -> PublicKey:
    """Return the key that was given, or that is in the file of that name; UsageError for none."""
    try:
        text = Path(given).read_text("utf-8") if Path(given).is_file() else given
        return PublicKey.parse(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"--key {given}: {_reason(error)}") from None


def read_checkpoint(path: str) -> Note:
    """Return the checkpoint in a file; UsageError when there is none."""
    try:
        return checkpoints.parse(_bytes(path).decode())
    except (CheckpointFormatError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from None


def _bytes(path: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _summary(body: Body) -> str:
    """Say in a few words what an entry says; `--json` has it whole."""
    facts = {
        name: _time(value) if name == "at" else str(value)
        for name, value in body.items()
        if isinstance(value, str | int) and not _COMMITMENT.fullmatch(str(value))
    }
    kind, _ = facts.pop("kind"), facts.pop("version")
    if kind == "outcome":  # whose generation is that of another entry
        facts["generation"] = f"of entry {facts['generation']}"
    return ", ".join([kind, *(f"{name} {value}" for name, value in facts.items())])


def _time(milliseconds: int | str) -> str:
    try:
        return moment(int(milliseconds)).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):  # no year that a calendar has
        return f"{milliseconds} ms"


def _excerpt(payload: DisclosedPayload) -> str:
    try:
        text = payload.content.decode()
    except UnicodeDecodeError:
        return f"{len(payload.content):,} bytes"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _report(
    proof: Proof, head: Checkpoint, bodies: Mapping[int, Body], key: PublicKey
) -> dict[str, object]:
    return {
        "ok": True,
        "key": str(key),
        "log": head.origin,
        "size": head.size,
        "root": head.root.hex(),
        "entries": [{"number": number, "entry": body} for number, body in bodies.items()],
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


def _say(text: str, stream: TextIO | None = None) -> None:
    """Write one line; what a model said must not be able to move the cursor."""
    text = text.replace("\n", "\\n")
    line = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    (stream or sys.stdout).write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
