"""The group `muniment keys`, and the commands `audit verify`, `checkpoint` and `prove`."""

from __future__ import annotations

from pathlib import Path

import click

import muniment.store
from muniment.cli import exit_codes
from muniment.cli.context import CliContext
from muniment.cli.field_lines import print_fields
from muniment.cli.lazy import LazyGroup
from muniment.cli.options import json_option, output_option, overwrite_option
from muniment.cli.output import (
    on_terminal,
    one_line,
    write_bytes,
    write_data,
    write_json,
    write_note,
    write_styled,
)
from muniment.cli.output_file import OutputFile
from muniment.cli.progress import fraction
from muniment.cli.values import coloured_status, pluralize, short_digest
from muniment.errors import (
    DamagedStoreError,
    MunimentError,
    UsageError,
    VerificationError,
    choice_of,
)
from muniment.ledger.checkpoints import Note
from muniment.ledger.payloads import KINDS
from muniment.signing import KeyStore, open_store
from muniment.validation import split_list
from muniment.verifier import public_key, read_checkpoint


@click.group(cls=LazyGroup)
def keys() -> None:
    """Create and show the key that signs the record."""


@keys.command
@click.pass_obj
def generate(context: CliContext) -> None:
    """Create the key for this store and print the public key.

    From then on, every command that records also signs a checkpoint. The private key is stored
    unencrypted in `keys` in the home folder, readable only by you. It is never overwritten. Give
    the public key to the people who verify, separately from the store.
    """
    key_store = KeyStore(context.home)
    with open_store(context.home, context.store_url, create=True) as store:
        key = key_store.generate(store.log)
        key_store.sign(store)
        write_data(str(key))
        write_note(f"the private key is in {key_store.path(store.log)}; it is not encrypted")


@keys.command
@json_option
@click.pass_obj
def show(context: CliContext, as_json: bool) -> None:
    """Show the public key, the file of the private key and the last signature.

    Piped output is only the public key.
    """
    key_store, log = KeyStore(context.home), context.store.log
    private = key_store.private_key(log)
    if private is None:
        raise MunimentError(
            f"the record of {context.store.name} has no key; run `muniment keys generate` to "
            "create one"
        )
    key, path, last = private.public, key_store.path(log), key_store.last_checkpoint(log)
    if as_json:
        head = last.checkpoint if last else None
        write_json(
            {
                "key": str(key),
                "log": key.name,
                "path": path,
                "checkpoint": head and {"size": head.size, "root": head.root.hex()},
            }
        )
    elif on_terminal():
        entries = pluralize(last.checkpoint.size, "entry") if last else "nothing"
        print_fields([("public", str(key)), ("private", str(path)), ("signed", entries)])
    else:
        write_data(str(key))


@click.command
@click.option("--projections", is_flag=True, help="Compare the query tables with the entries.")
@click.option("--payloads", is_flag=True, help="Compare prompts and outputs with the entries.")
@click.option("--search", is_flag=True, help="Compare the search index with the texts.")
@click.option("--all", "everything", is_flag=True, help="Do all of these checks.")
@click.option("--key", metavar="PUB", help="Public key to check signatures with, or its file.")
@click.option(
    "--checkpoint",
    "published",
    metavar="FILE",
    multiple=True,
    help="Earlier checkpoint that the record must continue (may be repeated).",
)
@click.option(
    "--since",
    metavar="FILE",
    help="Earlier checkpoint after which entries are read.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of processes (by default one per core, up to 4).",
)
@json_option
@click.pass_obj
def verify(
    context: CliContext,
    projections: bool,
    payloads: bool,
    search: bool,
    everything: bool,
    key: str | None,
    published: tuple[str, ...],
    since: str | None,
    processes: int | None,
    as_json: bool,
) -> int:
    """Check that the record was not altered.

    Always checks the database's schema and the ledger: every entry's hash and fields, the root
    hash, and the signed checkpoints. Signatures are checked with --key, or else with the key in
    the home folder.

    Also detects a truncated or rolled-back store, by comparing with the last signed checkpoint
    in the home folder and with those of --checkpoint and --since.

    Each problem is printed on its own line, and the exit code is then 4. It is also 4 if the store
    is too damaged to be read.
    """
    try:
        with fraction("verifying") as progress:
            verification = KeyStore(context.home).verify(
                context.store,
                key=None if key is None else public_key(key),
                trusted=[_checkpoint_of(path) for path in published],
                projections=projections or everything,
                payloads=payloads or everything,
                search=search or everything,
                since=None if since is None else _checkpoint_of(since),
                progress=progress,
                processes=processes or muniment.store.cores(),
            )
    except DamagedStoreError as error:
        raise VerificationError(str(error)) from error
    code = exit_codes.DONE if verification.ok else exit_codes.UNVERIFIED
    if as_json:
        write_json(verification)
        return code
    problems = verification.problems
    for problem in problems:
        write_data(one_line(f"{problem.kind}  {problem.where}  {problem.message}"))
    root = short_digest(verification.root)
    verdict = coloured_status("ok" if verification.ok else "failed")
    if problems:
        verdict += f"  {pluralize(len(problems), 'problem')} ·"
    write_styled(f"{verdict}  {pluralize(verification.entries, 'entry')} · root {root}")
    write_note("; ".join(_coverage(verification)))
    return code


_OPTIONAL_CHECKS = ("projections", "payloads", "search")


def _coverage(verification: muniment.store.Verification) -> list[str]:
    """Return phrases that name the checks done and those left out."""
    parts = [f"checked: {', '.join(verification.checked)}"]
    left_out = [name for name in _OPTIONAL_CHECKS if name not in verification.checked]
    if left_out:
        parts.append(f"not checked: {', '.join(left_out)} (--all)")
    if verification.not_read:
        parts.append(f"not read: the first {pluralize(verification.not_read, 'entry')}")
    if "signatures" not in verification.checked:
        parts.append("signatures not checked without a key (--key PUB)")
    elif verification.unsigned_tail:
        parts.append(f"not signed: the newest {pluralize(verification.unsigned_tail, 'entry')}")
    return parts


def _checkpoint_of(path: str) -> muniment.store.TrustedCheckpoint:
    return muniment.store.TrustedCheckpoint(path, read_checkpoint(path))


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
    kinds = tuple(filter(None, split_list(value)))
    for kind in kinds:
        if kind not in KINDS:
            raise click.BadParameter(
                f"no kind of payload named {kind!r}{choice_of(kind, list(KINDS))}"
            )
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
    keys = KeyStore(context.home)
    if published is None:
        note = keys.newest_checkpoint(store)
    else:
        note = read_checkpoint(published)
        private = keys.private_key(store.log)
        if private is not None and note.names(private.public):
            note.verify(private.public)
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
