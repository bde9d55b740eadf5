"""`muniment audit verify`: was the record altered?"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from muniment.cli import exit_codes
from muniment.cli.context import CliContext
from muniment.cli.options import json_option
from muniment.cli.output import (
    on_terminal,
    one_line,
    pluralize,
    shortened,
    write_data,
    write_json,
    write_note,
)
from muniment.cli.progress import fraction

if TYPE_CHECKING:
    from muniment.ledger.keys import PublicKey
    from muniment.store import Verification
    from muniment.store.verification.signatures import TrustedCheckpoint


@click.command
@click.option("--projections", is_flag=True, help="Compare the query tables with the entries.")
@click.option("--payloads", is_flag=True, help="Compare prompts and outputs with the entries.")
@click.option("--search", is_flag=True, help="Compare the search index with the texts.")
@click.option("--all", "everything", is_flag=True, help="Check all of these.")
@click.option("--key", metavar="PUB", help="Whose signatures to check: a public key or its file.")
@click.option(
    "--checkpoint",
    "published",
    metavar="FILE",
    multiple=True,
    help="A checkpoint that the record must continue; may be repeated.",
)
@click.option(
    "--since",
    metavar="FILE",
    help="Read only what is newer than this checkpoint, which the record must continue.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many processes share the work; one for each core, up to 4, unless given.",
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

    The ledger is always checked: every entry's hash, the root of all, and the checkpoints that
    were signed, by --key or else by the key in the home folder. The last one signed there, and
    those given with --checkpoint and --since, must be continued by the record: so a tail cut off,
    and a store rolled back, are found. Each problem is named on a line of its own, and the exit
    code is then 4.
    """
    from muniment.store.database.export_pool import cores

    public, held = _known(context, key)
    with fraction("verifying") as progress:
        found = context.store.verify(
            projections=projections or everything,
            payloads=payloads or everything,
            search=search or everything,
            key=public,
            trusted=[*held, *map(_held, published)],
            since=None if since is None else _held(since),
            progress=lambda what, done, total: progress(what, done / total if total else 1.0),
            processes=processes or cores(),
        )
    if as_json:
        write_json(dataclasses.asdict(found))
        return exit_codes.DONE if found.ok else exit_codes.UNVERIFIED
    for problem in found.problems:
        write_data(one_line(f"{problem.kind}  {problem.where}  {problem.message}"))
    root = shortened(found.root) if on_terminal() else found.root
    verdict = "ok" if found.ok else f"failed  {pluralize(len(found.problems), 'problem')} ·"
    write_data(f"{verdict}  {pluralize(found.entries, 'entry')} · root {root}")
    write_note("; ".join(_extent(found, public)))
    return exit_codes.DONE if found.ok else exit_codes.UNVERIFIED


def _extent(found: Verification, key: PublicKey | None) -> list[str]:
    """Say what was checked, and what was not."""
    parts = [f"checked: {', '.join(found.checked)}"]
    if found.not_read:
        parts.append(f"not read again: the first {pluralize(found.not_read, 'entry')}")
    if key is None:
        parts.append("signatures were not checked, since no key is known")
    elif found.unsigned_tail:
        parts.append(f"not signed: the newest {pluralize(found.unsigned_tail, 'entry')}")
    return parts


def _known(
    context: CliContext, given: str | None
) -> tuple[PublicKey | None, list[TrustedCheckpoint]]:
    """Return the key to check by, and what this home last signed of the store."""
    from muniment.signing import KeyStore
    from muniment.store.verification.signatures import TrustedCheckpoint

    keys, store = KeyStore(context.home), context.store
    last = keys.expected_checkpoint(store)
    held = (
        [] if last is None else [TrustedCheckpoint("the last checkpoint signed here", last.parsed)]
    )
    if given is not None:
        from muniment.verifier import public_key

        return public_key(given), held
    private = keys.private_key(store.log)
    return (None if private is None else private.public), held


def _held(path: str) -> TrustedCheckpoint:
    from muniment.store.verification.signatures import TrustedCheckpoint
    from muniment.verifier import read_checkpoint

    return TrustedCheckpoint(path, read_checkpoint(path))
