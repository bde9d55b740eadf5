"""`muniment keys`: the key that signs the record."""

from __future__ import annotations

import click

from muniment.cli.context import Settings
from muniment.cli.options import json_option
from muniment.cli.output import card, count, data, data_json, message, on_terminal
from muniment.errors import MunimentError


@click.group
def keys() -> None:
    """Make and show the key that signs the record."""


@keys.command
@click.pass_obj
def generate(settings: Settings) -> None:
    """Make the key of this store's record, and print its public part.

    From then on every command that records signs a checkpoint. The private key lies in the home
    folder's `keys`, readable by you alone and not encrypted, since signing asks nobody; it is
    never overwritten. Give the public key to whoever is to verify, by another way than the store.
    """
    from muniment.signing import Keys
    from muniment.store import Store

    held = Keys(settings.home)
    with Store.open(settings.store_url, create=True) as store:
        key = held.generate(store.log)
        held.sign(store)
        data(str(key))
        message(f"the private key is in {held.path(store.log)}; it is not encrypted")


@keys.command
@json_option
@click.pass_obj
def show(settings: Settings, as_json: bool) -> None:
    """Show the public key, where the private one lies, and what it signed last.

    Off a terminal only the public key is printed.
    """
    from muniment.signing import Keys

    held, log = Keys(settings.home), settings.store.log
    private = held.private(log)
    if private is None:
        raise MunimentError(
            f"no key signs the record of {settings.store.url}; `muniment keys generate` makes one"
        )
    key, path, last = private.public, held.path(log), held.signed(log)
    if as_json:
        head = last.checkpoint if last else None
        data_json(
            {
                "key": str(key),
                "log": key.name,
                "path": str(path),
                "checkpoint": head and {"size": head.size, "root": head.root.hex()},
            }
        )
    elif on_terminal():
        entries = count(last.checkpoint.size, "entry") if last else "nothing"
        card([("public", str(key)), ("private", str(path)), ("signed", entries)])
    else:
        data(str(key))
