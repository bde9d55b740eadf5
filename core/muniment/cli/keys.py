"""The command group `muniment keys`."""

from __future__ import annotations

import click

import muniment.store
from muniment.cli.context import CliContext
from muniment.cli.lazy import LazyGroup
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
from muniment.signing import KeyStore


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
    with muniment.store.Store.open(context.store_url, create=True) as store:
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
            f"the record of {context.store.url} has no key; run `muniment keys generate` to "
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
