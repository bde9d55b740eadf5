"""The parts of the command line that plugins use to add commands.

A plugin adds a command through the entry-point group `muniment.commands`, as
docs/reference/plugins.md describes. This module is the only part of the command line that a plugin
imports.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from muniment.cli import options as _options
from muniment.cli.context import context_of
from muniment.cli.interruption import new_run
from muniment.cli.listing import Column, emit, emit_one
from muniment.cli.media_files import FileFormat
from muniment.cli.options import (
    FILTER_NAMES,
    confirm,
    filter_options,
    headers_option,
    json_option,
    limit_option,
    output_option,
    overwrite_option,
    private_option,
    query_of,
    visible_label_option,
    yes_option,
)
from muniment.cli.output import write_data, write_json, write_note, write_note_on_copies
from muniment.cli.output_file import OutputFile
from muniment.cli.parameter_options import FILE, export_options, take_values
from muniment.cli.progress import Progress, counting, waiting
from muniment.cli.translation import Translations
from muniment.cli.values import pluralize

if TYPE_CHECKING:
    from muniment.parameters import Parameters
    from muniment.session.session import Session
    from muniment.store import Query

_Function = TypeVar("_Function", bound=Callable[..., Any])

__all__ = [
    "Column",
    "FileFormat",
    "OutputFile",
    "Progress",
    "Translations",
    "confirm",
    "emit",
    "emit_one",
    "file_options",
    "generation_filters",
    "headers_option",
    "json_option",
    "limit_option",
    "new_run",
    "no_match",
    "output_option",
    "overwrite_option",
    "pass_session",
    "pluralize",
    "progress",
    "write_data",
    "write_json",
    "write_note",
    "write_note_on_copies",
    "yes_option",
]


def pass_session(function: _Function) -> _Function:
    """Pass the `muniment.Session` of the global options as the first argument of a command.

    The session is closed, and what it recorded is signed, when the command line ends.
    """

    @click.pass_context
    def with_session(ctx: click.Context, /, *args: Any, **options: Any) -> Any:
        session: Session = context_of(ctx).session
        return ctx.invoke(function, session, *args, **options)

    return cast(_Function, update_wrapper(with_session, function))


def generation_filters(*, limit: int | None = None) -> Callable[[_Function], _Function]:
    """Return a decorator that adds the options which select generations.

    The command receives them as one argument `query`, a `muniment.Query`. With `limit`, the option
    `-n/--limit` is added, too, and `limit` is its default.
    """

    def decorate(function: _Function) -> _Function:
        @click.pass_context
        def with_query(ctx: click.Context, /, *args: Any, **options: Any) -> Any:
            filters = {name: options.pop(name) for name in FILTER_NAMES}
            number = 0 if limit is None else options.pop("limit")
            query = query_of(context_of(ctx), filters, limit=number)
            return ctx.invoke(function, *args, query=query, **options)

        decorated = cast(_Function, update_wrapper(with_query, function))
        if limit is not None:
            decorated = limit_option(limit)(decorated)
        return filter_options(decorated)

    return decorate


def no_match(session: Session, query: Query) -> str:
    """Return the note of a command whose `query` matches no generation, with the reasons if known.

    These are an empty period and names that were never recorded, with similar ones.
    """
    return _options.no_match(session.store, query)


def file_options(export: type[Parameters]) -> Callable[[_Function], _Function]:
    """Return a decorator that adds the options which `generate -o` has for files of a media type.

    `export` is the class `Export` of the media type. The command receives the values as one
    argument `file_options`, a mapping with the keyword arguments of `FileFormat`.
    """

    def decorate(function: _Function) -> _Function:
        @click.pass_context
        def with_options(ctx: click.Context, /, *args: Any, **options: Any) -> Any:
            values = {name: options.pop(name) for name in ("private", "visible_label")}
            values["options"] = take_values(options, FILE)
            return ctx.invoke(function, *args, file_options=values, **options)

        decorated = cast(_Function, update_wrapper(with_options, function))
        for add in reversed([private_option, visible_label_option, *export_options(export)]):
            decorated = add(decorated)
        return decorated

    return decorate


@contextlib.contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Progress]:
    """Show progress on standard error while the block runs, if that is a terminal.

    With a `total`, shows a bar, which `advance` moves. Without one, shows a spinner. `write` and
    `note` of the yielded object print lines of data and messages above it.
    """
    if total is not None:
        with counting(label, total) as bar:
            yield bar
    else:
        with waiting(label):
            yield Progress()
