"""The command group `muniment models`."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

import click
from msgspec import structs

from muniment.cli import exit_codes
from muniment.cli.context import CliContext
from muniment.cli.lazy import LazyGroup
from muniment.cli.listing import emit, emit_line, emit_one
from muniment.cli.notices import printed_notices
from muniment.cli.options import confirm, generator_option, headers_option, json_option, yes_option
from muniment.cli.output import one_line, warn_broken, write_data, write_note
from muniment.cli.progress import waiting
from muniment.cli.training import training_text
from muniment.cli.values import actor_cell, moment, short_digest
from muniment.errors import ModelError, MunimentError, UsageError
from muniment.hookspecs import ModelProvider
from muniment.language import gettext, ngettext
from muniment.ledger.events import ModelEntry
from muniment.models.records import ModelRecord
from muniment.names import normal_name
from muniment.plugins.model_files import ADD, naming_owner
from muniment.plugins.objects import instantiate
from muniment.plugins.quiet_output import quiet_stdout
from muniment.store.recording.events import RecordedEvent


@click.group(cls=LazyGroup)
def models() -> None:
    """Add, list, show, verify and remove models."""


@models.command("list")
@headers_option
@json_option
@click.pass_obj
def list_(context: CliContext, as_json: bool) -> None:
    """List the added models.

    Without a terminal the columns are: name, generator, digest, source, time of addition, and the
    word "default" for a model that is used without -m. Half-written models and unreadable records
    are listed on standard error.
    """
    errors: list[ModelError] = []
    records = context.models.added(errors.append)
    errors += context.models.half_written()
    for error in errors:
        write_note(f"Warning: {one_line(str(error))}")
    emit(
        records,
        [
            ("name", "name"),
            ("generator", "generator"),
            ("digest", lambda model: short_digest(model.digest)),
            ("source", "source"),
            ("added", _added),
            ("default", lambda model: "default" if _is_default(context, model) else ""),
        ],
        as_json,
        to_json=partial(_json, context),
        empty="" if errors else "no model was added yet; `muniment models add SOURCE` adds one",
        drop=("source", "digest", "added"),
    )


@models.command
@click.argument("source")
@click.option(
    "--name", metavar="NAME", help="Name of the model. The default depends on the source."
)
@generator_option("Generator, or media kind, that uses the model.")
@json_option
@click.pass_obj
def add(context: CliContext, source: str, name: str | None, generator: str, as_json: bool) -> None:
    """Add a model.

    SOURCE is a folder or file, a hub id, or a name that the generator knows. The model is converted
    once, which may take minutes, and its digest is recorded. The default model stays the same. The
    training that a `training.json` of the model describes is recorded as claimed.
    """
    session = context.session
    session.ensure_store()
    warn_broken(session.plugins.load())
    registered = session.plugins.generator(generator, session.config.generators())
    made = instantiate(registered)
    if not isinstance(made, ModelProvider):
        raise UsageError(f"no model can be added to generator {registered.name}")
    with (
        naming_owner(source, registered, session.plugins, ADD),
        printed_notices(f"adding {source}") as notices,
        quiet_stdout(),
    ):
        added = session.models.add(
            source,
            registered.name,
            made,
            name=name,
            notices=notices,
            record=lambda added: session.record_model("added", added),
        )
    if added.terms:
        write_note(added.terms)
    if not _is_default(context, added) and (default := _default(context, registered.name)):
        write_note(
            f"the default stays {default}; use -m {added.name}, or "
            f"`muniment config set model.{registered.name} {added.name}`"
        )
    line = f"added {added.name}  {short_digest(added.digest)}"
    emit_line(_json(context, added), line, as_json)


@models.command
@click.argument("name")
@json_option
@click.pass_obj
def show(context: CliContext, name: str, as_json: bool) -> None:
    """Show the record, the files, the recorded changes and the training of a model.

    The trainings of the models that it was trained from follow its own.
    """
    model = context.models.get(name)
    files = context.models.files(name)
    trainings = context.trainings([model.digest])
    history = context.history(ModelEntry, model.digest)
    sizes = "\n".join(f"{file}  {size:,} bytes" for file, size in sorted(files.items()))
    emit_one(
        {
            **_json(context, model),
            "files": files,
            "history": [event.to_json() for event in history],
            "trainings": [training.to_json() for training in trainings],
        },
        [
            *((key, key) for key in ("name", "digest", "generator", "source")),
            ("added", lambda _: _added(model)),
            ("default", "default"),
            ("terms", "terms"),
            ("folder", lambda _: context.models.path(name)),
            *((role, lambda _, file=file: file) for role, file in model.roles.items()),
            ("files", lambda _: sizes),
            ("history", lambda _: "\n".join(map(_change, history))),
            *(("training", lambda _, item=item: training_text(item)) for item in trainings),
        ],
        as_json,
    )


@models.command
@click.argument("names", metavar="[NAME]...", nargs=-1)
@json_option
@click.pass_obj
def verify(context: CliContext, names: tuple[str, ...], as_json: bool) -> int:
    """Verify added models, by default all of them.

    Hashes the files again and compares the digest with the record. Then loads the model and
    repeats the tests of its generator, such as the self-test of the text generator. The exit
    code is 4 if a model was changed or cannot be loaded.
    """
    code = exit_codes.DONE
    known = context.models
    for model in [known.get(name) for name in names] if names else known.added():
        try:
            with waiting(f"verifying {model.name}"):
                environment = context.session.verify_model(model.name)
        except MunimentError as error:
            write_note(f"Error: {one_line(str(error))}")
            code = exit_codes.UNVERIFIED
            continue
        emit_line(
            {"name": model.name, "digest": model.digest, "environment": environment},
            f"verified {model.name}  {short_digest(model.digest)}",
            as_json,
        )
    return code


@models.command
@click.argument("name")
@yes_option
@click.pass_obj
def remove(context: CliContext, name: str, yes: bool) -> int:
    """Remove a model.

    Its generations stay recorded, but cannot be replayed without it.
    """
    name = normal_name(name)
    context.models.check_removable(name)
    action = gettext("remove model {name} ({size})").format(name=name, size=_size(context, name))
    if not confirm(action, yes=yes, otherwise=gettext("nothing was removed")):
        return exit_codes.FAILED
    # An unreadable record can be removed, too.
    known = [item for item in context.models.added(lambda error: None) if item.name == name]
    context.session.ensure_store()
    context.models.remove(name)
    for model in known:  # a half-written model has no record
        context.session.record_model("removed", model)
    write_data(f"removed {name}")
    return exit_codes.DONE


def _default(context: CliContext, generator: str) -> str | None:
    return context.config.get(f"model.{generator}") or context.models.default(generator)


def _is_default(context: CliContext, model: ModelRecord) -> bool:
    return _default(context, model.generator) == model.name


def _added(model: ModelRecord) -> datetime:
    return datetime.fromisoformat(model.added_at)


def _change(event: RecordedEvent[ModelEntry]) -> str:
    return f"{moment(event.at)}  {event.entry.act}  {actor_cell(event.actor, event.altered)}"


def _json(context: CliContext, model: ModelRecord) -> dict[str, Any]:
    return {**structs.asdict(model), "default": _is_default(context, model)}


def _size(context: CliContext, name: str) -> str:
    try:
        files = context.models.files(name)
    except ModelError:
        return gettext("incomplete")
    return ngettext("{files} file, {size} bytes", "{files} files, {size} bytes", len(files)).format(
        files=f"{len(files):,}", size=f"{sum(files.values()):,}"
    )
