"""The command `muniment audit find`."""

from __future__ import annotations

import click

from muniment.cli import exit_codes
from muniment.cli.audit_show import show_generation
from muniment.cli.context import CliContext
from muniment.cli.options import full_option, isolate_option, json_option
from muniment.cli.output import one_line, write_note
from muniment.cli.values import pluralize, short_id
from muniment.generation.origin import Origin, find_origin, read_file


@click.command
@click.argument("file", metavar="FILE")
@full_option
@isolate_option
@json_option
@click.pass_obj
def find(context: CliContext, file: str, full: bool, as_json: bool) -> int:
    """Find the generation that a file came from or that used it, and show it.

    A recorded output or input is found by its bytes. A file whose media type a plugin registers,
    such as an image, is found by its content, such as the pixels. Another program can have saved it
    again. It is also found by the id in it. Content counts more than an id, which anyone can
    change. A message on standard error says when only one of them matches. The exit code is 1 if
    there is no such generation. It is 4 if only the id matches, since the content is another or
    cannot be compared.
    """
    store, media = context.store, lambda: context.media
    origin = find_origin(read_file(file, media), store, media)
    code = show_generation(context, origin.id, as_json, origin, full=full)
    write_remarks(origin)
    return code if origin.same_content else exit_codes.UNVERIFIED


def write_remarks(origin: Origin) -> None:
    """Print when only the content of a file or only the id in it matches."""
    for sentence in _remarks(origin):
        write_note(one_line(sentence))


def _remarks(origin: Origin) -> list[str]:
    remarks = []
    if origin.same_content is False:
        remarks.append("the file contains this id, but its content is not the recorded output")
    if origin.same_content is None:
        remarks.append("the file contains this id, and its content cannot be compared")
    if origin.stamp not in (None, origin.id):
        remarks.append(f"the file has this content, but contains the id {origin.stamp:.80}")
    if origin.others:
        newest = short_id(origin.others[0], "stderr")
        remarks.append(
            f"{pluralize(len(origin.others), 'other generation')} with the same content, the "
            f"newest {newest}"
        )
    return remarks
