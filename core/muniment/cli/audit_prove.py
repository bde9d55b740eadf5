"""The commands `muniment audit checkpoint` and `muniment audit prove`."""

from __future__ import annotations

from pathlib import Path

import click

from muniment.cli.context import CliContext
from muniment.cli.lazy import no_such
from muniment.cli.options import json_option, output_option, overwrite_option
from muniment.cli.output import pluralize, write_bytes, write_json, write_note
from muniment.cli.output_file import OutputFile
from muniment.errors import UsageError, VerificationError
from muniment.ledger.checkpoints import Note
from muniment.ledger.payloads import KINDS
from muniment.signing import KeyStore
from muniment.verifier import read_checkpoint


@click.command
@click.option("--publish", metavar="FILE", help="File to publish the checkpoint in.")
@json_option
@click.pass_obj
def checkpoint(context: CliContext, publish: str | None, as_json: bool) -> None:
    """Print the newest signed checkpoint.

    A checkpoint contains the log's name, its number of entries and their root hash. --publish
    replaces the earlier checkpoint in a file. If the record does not continue that checkpoint,
    nothing is published and the exit code is 4.
    """
    note = KeyStore(context.home).newest_checkpoint(context.store)
    head = note.checkpoint
    if as_json:
        write_json(
            {"log": head.origin, "size": head.size, "root": head.root.hex(), "note": str(note)}
        )
    elif publish is None:
        write_bytes(str(note).encode())
    if publish is not None:
        destination = OutputFile(publish, overwrite=True)
        if not destination.stdout and not destination.special:
            _refuse_published(context, destination.target, note)
        destination.write_bytes(str(note).encode())
        write_note(f"published {pluralize(head.size, 'entry')} in {publish}")


def _kinds(ctx: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
    """Return the payload kinds of `--disclose`, which are separated by commas."""
    kinds = tuple(part.strip() for part in value.split(",") if part.strip())
    for kind in kinds:
        if kind not in KINDS:
            sentence = no_such("kind of payload", kind, list(KINDS))
            raise click.BadParameter(f"{sentence} Use any of: {', '.join(KINDS)}.")
    return kinds


@click.command
@click.argument("reference", metavar="ID")
@output_option
@overwrite_option
@click.option(
    "--disclose",
    callback=_kinds,
    metavar="KINDS",
    default="",
    help="Texts to include in the proof, such as prompt,output (none by default).",
)
@click.option(
    "--checkpoint",
    "published",
    metavar="FILE",
    help="Checkpoint to prove against, instead of the newest.",
)
@click.pass_obj
def prove(
    context: CliContext,
    reference: str,
    output: str | None,
    overwrite: bool,
    disclose: tuple[str, ...],
    published: str | None,
) -> None:
    """Write a proof that can be checked without the store.

    The file proves that a generation is in the record. It contains the signed checkpoint, the
    generation's entries, and their paths to the checkpoint's root. `muniment-verify FILE --key
    PUB` checks it. It contains no prompt, output or other text unless --disclose names it.
    """
    destination = OutputFile(output or "-", overwrite=overwrite, inputs=[published])
    store = context.store
    identifier = store.find(reference)
    if published is None:
        note = KeyStore(context.home).newest_checkpoint(store)
    else:
        note = read_checkpoint(published)
    proof = store.prove(identifier, note, disclose)
    if destination.stdout:
        write_bytes(proof.write())
        return
    destination.write_bytes(proof.write())
    disclosed = f", {pluralize(len(proof.disclosed), 'payload')} disclosed" if disclose else ""
    write_note(f"wrote {destination.target} ({pluralize(len(proof.entries), 'entry')}{disclosed})")


def _refuse_published(context: CliContext, path: Path, note: Note) -> None:
    """Raise unless `path` is absent or contains an earlier checkpoint of the same record."""
    if not path.exists():
        return
    before, now = read_checkpoint(str(path)).checkpoint, note.checkpoint
    if before.origin != now.origin:
        raise UsageError(
            f"{path} contains a checkpoint of another log, {before.origin}; use another file"
        )
    if before.size > now.size:
        raise VerificationError(
            f"the record has {now.size} entries but {before.size} are published in {path}; it was "
            "rolled back or truncated, so nothing was published"
        )
    if context.store.root(before.size) != before.root:
        raise VerificationError(
            f"the first {before.size} entries differ from those published in {path}; the record "
            "was altered, so nothing was published"
        )
