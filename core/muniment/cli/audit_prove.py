"""`muniment audit checkpoint` and `prove`: what is given to someone who does not have the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muniment.cli.context import CliContext
from muniment.cli.lazy import no_such
from muniment.cli.options import json_option, output_option, overwrite_option
from muniment.cli.output import pluralize, write_bytes, write_json, write_note
from muniment.cli.output_file import OutputFile
from muniment.errors import MunimentError, UsageError, VerificationError

if TYPE_CHECKING:
    from muniment.ledger.checkpoints import Note


@click.command
@click.option("--publish", metavar="FILE", help="Write it to a file that others can read.")
@json_option
@click.pass_obj
def checkpoint(context: CliContext, publish: str | None, as_json: bool) -> None:
    """Print the signed head of the record.

    It says which log it is, how many entries that has, and the root over them. With --publish it
    takes the place of the older checkpoint in that file, whole or not at all, as those who watch a
    log expect to find it. A record that does not continue what is published there is refused, with
    exit code 4.
    """
    note = newest(context)
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


class Kinds(click.ParamType[tuple[str, ...]]):
    """Kinds of payloads, separated by commas."""

    name = "kinds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split at commas; each must be a kind of payload."""
        from muniment.ledger.payloads import KINDS

        given = [part.strip() for part in str(value).split(",") if part.strip()]
        for kind in given:
            if kind not in KINDS:
                known = ", ".join(KINDS)
                self.fail(f"{no_such('kind of payload', kind, list(KINDS))} There are: {known}.")
        return tuple(given)


@click.command
@click.argument("reference", metavar="ID")
@output_option
@overwrite_option
@click.option(
    "--disclose",
    type=Kinds(),
    metavar="KINDS",
    default="",
    help="Lay these open in the proof, as in prompt,output. Nothing else that was said is in it.",
)
@click.option(
    "--checkpoint",
    "published",
    metavar="FILE",
    help="Prove it by this checkpoint, which someone has, instead of the newest.",
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
    """Write a proof for someone who has no store.

    The file shows that a generation is in the record: it has the signed checkpoint, the entries
    of the generation, and their paths to the checkpoint's root. `muniment-verify FILE --key PUB`
    checks it. What was said and generated is not in it, but for what --disclose names.
    """
    from muniment.verifier import read_checkpoint

    destination = OutputFile(output or "-", overwrite=overwrite)
    store = context.store
    identifier = store.find(reference)
    note = newest(context) if published is None else read_checkpoint(published)
    proof = store.prove(identifier, note, disclose)
    if destination.stdout:
        write_bytes(proof.write())
        return
    destination.write_bytes(proof.write())
    disclosed = f", {pluralize(len(proof.disclosed), 'payload')} disclosed" if disclose else ""
    write_note(f"wrote {destination.target} ({pluralize(len(proof.entries), 'entry')}{disclosed})")


def newest(context: CliContext) -> Note:
    """Return the newest checkpoint, signing the head first where there is a key."""
    from muniment.signing import KeyStore

    store = context.store
    if (note := KeyStore(context.home).sign(store)) is not None:
        return note
    if kept := store.signed():  # a copy of a store whose key is elsewhere
        return kept[0]
    raise MunimentError("nothing is signed yet: `muniment keys generate` makes a key and signs")


def _refuse_published(context: CliContext, path: Path, note: Note) -> None:
    """Refuse to publish where that would replace something else than an earlier checkpoint."""
    from muniment.verifier import read_checkpoint

    if not path.exists():
        return
    before, now = read_checkpoint(str(path)).checkpoint, note.checkpoint
    if before.origin != now.origin:
        raise UsageError(
            f"{path} has a checkpoint of another log, {before.origin}; name another file"
        )
    if before.size > now.size:
        raise VerificationError(
            f"{path} has {before.size} entries and the record {now.size}: it was rolled back, or "
            "its end was cut off; nothing was published"
        )
    if context.store.root(before.size) != before.root:
        raise VerificationError(
            f"the first {before.size} entries are not those published in {path}: the record was "
            "altered; nothing was published"
        )
