"""The command `muniment recommendation forget-user`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import muniment
from muniment.command import (
    Translations,
    confirm,
    emit_one,
    json_option,
    pass_session,
    progress,
    write_note,
    write_note_on_copies,
    yes_option,
)

from .fit_steps import data_to_fit, fit_with_progress
from .options import data_option

if TYPE_CHECKING:
    from muniment_recommendation.data.tables import Tables

_TEXTS = Translations("muniment-recommendation")
_COLUMNS = (
    ("folder", "folder"),
    ("rows removed", "rows"),
    ("generations erased", "erased"),
    ("not erased", lambda record: ", ".join(record["remaining"])),
    ("models removed", lambda record: ", ".join(record["models"])),
    ("digest", "digest"),
)


@click.command("forget-user")
@click.argument("user", metavar="USER")
@click.option(
    "--model",
    "folder",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the model that `muniment recommendation fit` wrote.",
)
@data_option
@yes_option
@json_option
@pass_session
def forget_user(
    session: muniment.Session, user: str, folder: Path, data: Path, yes: bool, as_json: bool
) -> int:
    """Remove a user from the data, the model and the record.

    Deletes the rows of USER from the table of interactions, and fits the model again with its
    recorded options and seed. The new model equals one that was fitted without the user. It takes
    the place of the old one, whose copy in the home is removed. Lists for the user, and generations
    that were made from them, are erased. The proofs of all others still verify. Earlier feedback by
    or about the user is not used again.

    Generations on hold, under retention or still running are named, and the exit code is then 1.
    Run the command again after an interruption, or when they can be erased.
    """
    from muniment_recommendation.data.tables import read_tables
    from muniment_recommendation.data.writing import remove_user
    from muniment_recommendation.home import forgetting
    from muniment_recommendation.home.forgotten_users import ForgottenUsers
    from muniment_recommendation.model_folder.files import read_config
    from muniment_recommendation.model_folder.replacement import Replacement
    from muniment_recommendation.model_folder.writing import write_fitted

    folder = folder.expanduser().resolve()
    if folder.is_relative_to((session.home / "models").resolve()):
        raise muniment.UsageError(
            f"{folder} is the copy of a model in the home; use the folder that "
            "`muniment recommendation fit --out` wrote"
        )
    replacement = Replacement(folder)
    replacement.recover()
    options = read_config(folder).fit_options
    session.ensure_store()
    with progress("reading data"):
        tables = read_tables(data)
        forgotten = ForgottenUsers(session.home)
        found = forgetting.find_generations(session, user)
        _check_known(user, folder, tables, user in forgotten or len(found) > 0)
        copies, others = forgetting.copies_in_home(session, muniment.model_digest(folder), user)
    count = int(tables.rows.users.are(user).sum())
    gettext, ngettext = _TEXTS.gettext, _TEXTS.ngettext
    action = ngettext(
        "remove {number} row of user {user} from {data}, and fit {model} again",
        "remove {number} rows of user {user} from {data}, and fit {model} again",
        count,
    ).format(number=f"{count:,}", user=user, data=data, model=folder)
    if len(found):
        action += ngettext(
            ". It erases {number} generation", ". It erases {number} generations", len(found)
        ).format(number=f"{len(found):,}")
    sharing = [id for query in found.queries() for id in session.store.erasures.sharing(query)]
    if losing := len({*sharing} - {*found.lists, *found.derived}):
        action += ngettext(
            ", with inputs that {number} other generation will lose",
            ", with inputs that {number} other generations will lose",
            losing,
        ).format(number=f"{losing:,}")
    if copies:
        action += gettext(". It removes {models} from the home").format(models=", ".join(copies))
    if not confirm(action, yes=yes, otherwise=gettext("nothing was removed")):
        return 1
    # All that can fail comes before the first change. Each change can be repeated.
    forgotten.add(user)
    rest = tables.with_rows(tables.rows.without_user(user))
    read, feedback = data_to_fit(session, rest, options, forgotten)
    model = fit_with_progress(read, options)
    training = write_fitted(model, replacement.new, data=data, files=read.files, feedback=feedback)
    with progress("removing the user"):
        forgotten.save()
        remove_user(data, user)
        erased, remaining = forgetting.erase_generations(session, found)
        forgetting.remove_copies(session, copies)
        replacement.finish()
        session.release_models()  # the old model may be loaded
    recorded = session.record_training(
        replace(training, model=folder), plugin="muniment-recommendation"
    )
    for id in remaining:
        kept = gettext(
            "generation {id} was not erased, because it is on hold, under retention or running"
        )
        write_note(kept.format(id=id))
    for name in others:
        other = gettext(
            "model {name} in the home has user {user}, too; `muniment models remove {name}` "
            "removes it"
        )
        write_note(other.format(name=name, user=user))
    record: dict[str, Any] = {
        "user": user,
        "folder": str(folder),
        "rows": count,
        "erased": erased,
        "remaining": remaining,
        "models": copies,
        "digest": recorded.entry.result,
    }
    columns = _COLUMNS if not as_json else [(name, name) for name in record]
    emit_one(record, columns, as_json)
    if erased and not as_json:
        write_note_on_copies()
    return 1 if remaining else 0


def _check_known(user: str, folder: Path, tables: Tables, is_recorded: bool) -> None:
    """Raise an error unless something of the user is known, and the model is that of the data."""
    from muniment_recommendation.errors import DataError, QueryError
    from muniment_recommendation.model_folder.files import damage_as_model_error, read_users
    from muniment_recommendation.requests.item_ids import nearest

    users = set(tables.rows.users.distinct)
    with damage_as_model_error(folder):
        fitted = set(read_users(folder))
    others = fitted - {user}
    if others and not others & users:
        raise DataError(
            f"no other user of the model {folder} is in the data; use the data of its fit"
        )
    if user not in users | fitted and not is_recorded:
        hint = nearest(user, users | fitted) or "use the id of a user of the data"
        raise QueryError(f"neither the data nor the model has a user {user!r}; {hint}")
