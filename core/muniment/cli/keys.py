"""`muniment keys`: the key that signs the record."""

from __future__ import annotations

import click

from muniment.cli.context import CliContext
from muniment.cli.options import json_option
from muniment.cli.output import (
    on_terminal,
    pluralize,
    print_fields,
    write_data,
    write_json,
    write_note,
)
from muniment.errors import MunimentError


@click.group
def keys() -> None:
    """Make and show the key that signs the record."""


@keys.command
@click.pass_obj
def generate(context: CliContext) -> None:
    """Make the key of this store's record, and print its public part.

    From then on every command that records signs a checkpoint. The private key lies in the home
    folder's `keys`, readable by you alone and not encrypted, since signing asks nobody; it is
    never overwritten. Give the public key to whoever is to verify, by another way than the store.
    """
    from muniment.signing import KeyStore
    from muniment.store import Store

    held = KeyStore(context.home)
    with Store.open(context.store_url, create=True) as store:
        key = held.generate(store.log)
        held.sign(store)
        write_data(str(key))
        write_note(f"the private key is in {held.path(store.log)}; it is not encrypted")


@keys.command
@json_option
@click.pass_obj
def show(context: CliContext, as_json: bool) -> None:
    """Show the public key, where the private one lies, and what it signed last.

    Off a terminal only the public key is printed.
    """
    from muniment.signing import KeyStore

    held, log = KeyStore(context.home), context.store.log
    private = held.private_key(log)
    if private is None:
        raise MunimentError(
            f"no key signs the record of {context.store.url}; `muniment keys generate` makes one"
        )
    key, path, last = private.public, held.path(log), held.last_checkpoint(log)
    if as_json:
        head = last.checkpoint if last else None
        write_json(
            {
                "key": str(key),
                "log": key.name,
                "path": str(path),
                "checkpoint": head and {"size": head.size, "root": head.root.hex()},
            }
        )
    elif on_terminal():
        entries = pluralize(last.checkpoint.size, "entry") if last else "nothing"
        print_fields([("public", str(key)), ("private", str(path)), ("signed", entries)])
    else:
        write_data(str(key))
