"""The command `muniment audit verify`."""

from __future__ import annotations

import click

import muniment.store
from muniment.cli import exit_codes
from muniment.cli.context import CliContext
from muniment.cli.options import json_option
from muniment.cli.output import (
    one_line,
    pluralize,
    short_digest,
    write_data,
    write_json,
    write_note,
)
from muniment.cli.progress import fraction
from muniment.signing import KeyStore
from muniment.verifier import public_key, read_checkpoint


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

    Always checks the database's schema and the ledger: every entry's hash, the root hash, and the
    signed checkpoints. Signatures are checked with --key, or else with the key in the home folder.

    Also detects a truncated or rolled-back store, by comparing with the last signed checkpoint
    in the home folder and with those of --checkpoint and --since.

    Each problem is printed on its own line, and the exit code is then 4.
    """
    with fraction("verifying") as progress:
        verification = KeyStore(context.home).verify(
            context.store,
            key=None if key is None else public_key(key),
            trusted=[_checkpoint_of(path) for path in published],
            projections=projections or everything,
            payloads=payloads or everything,
            search=search or everything,
            since=None if since is None else _checkpoint_of(since),
            progress=lambda what, done, total: progress(what, done / total if total else 1.0),
            processes=processes or muniment.store.cores(),
        )
    code = exit_codes.DONE if verification.ok else exit_codes.UNVERIFIED
    if as_json:
        write_json(verification)
        return code
    problems = verification.problems
    for problem in problems:
        write_data(one_line(f"{problem.kind}  {problem.where}  {problem.message}"))
    root = short_digest(verification.root)
    verdict = "ok" if verification.ok else f"failed  {pluralize(len(problems), 'problem')} ·"
    write_data(f"{verdict}  {pluralize(verification.entries, 'entry')} · root {root}")
    write_note("; ".join(_coverage(verification)))
    return code


def _coverage(verification: muniment.store.Verification) -> list[str]:
    """Return phrases that name the checks done and those left out."""
    parts = [f"checked: {', '.join(verification.checked)}"]
    if verification.not_read:
        parts.append(f"not read: the first {pluralize(verification.not_read, 'entry')}")
    if "signatures" not in verification.checked:
        parts.append("signatures not checked without a key (--key PUB)")
    elif verification.unsigned_tail:
        parts.append(f"not signed: the newest {pluralize(verification.unsigned_tail, 'entry')}")
    return parts


def _checkpoint_of(path: str) -> muniment.store.TrustedCheckpoint:
    return muniment.store.TrustedCheckpoint(path, read_checkpoint(path))
