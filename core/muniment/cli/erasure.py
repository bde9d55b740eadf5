"""The command `muniment audit erase`, and the groups `hold` and `retention` that limit it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

import muniment.store
from muniment.cli import exit_codes
from muniment.cli.context import CliContext
from muniment.cli.lazy import LazyGroup
from muniment.cli.listing import Column, emit
from muniment.cli.options import (
    DECISIONS,
    confirm,
    filter_options,
    headers_option,
    json_option,
    moment_of,
    obstacles,
    query_of,
    yes_option,
)
from muniment.cli.output import (
    on_terminal,
    one_line,
    write_data,
    write_json,
    write_note,
    write_note_on_copies,
)
from muniment.cli.progress import counting, waiting
from muniment.cli.values import actor_cell, excerpt, moment, pluralize, short_id
from muniment.errors import UnknownNameError
from muniment.language import gettext, ngettext

if TYPE_CHECKING:
    from muniment.store.retention.erasure import ErasureRecord, ErasureResult
    from muniment.store.retention.plan import ErasurePlan


@click.command
@click.argument("references", metavar="[ID]...", nargs=-1)
@partial(filter_options, without=("status",))
@click.option(
    "--older-than",
    type=moment_of,
    metavar="WHEN",
    help="Minimum age, such as 90d, or latest start.",
)
@click.option(
    "--event",
    type=click.IntRange(min=0),
    metavar="SEQ",
    help="Number of an event's entry, to erase its texts instead.",
)
@click.option("--reason", metavar="TEXT", help="Reason, recorded with the erasure.")
@click.option(
    "--status", "show_status", is_flag=True, help="List erasures, and retry pending ones."
)
@yes_option
@json_option
@click.pass_obj
def erase(
    context: CliContext,
    /,
    references: tuple[str, ...],
    older_than: Any,
    event: int | None,
    reason: str | None,
    show_status: bool,
    yes: bool,
    as_json: bool,
    **filters: Any,
) -> int:
    """Erase prompts, inputs, outputs and all other texts of generations permanently.

    A generation must match all given options. Ledger entries are not erased, so proofs stay valid.
    With --actor the actor's name is erased too. Skips generations on hold, under retention or
    still running, and inputs that such generations use. Other generations that use an input of
    these are listed first, and lose it too. Those that have an output of these as an input are
    listed, and keep it unless they are erased too.
    `pending` means that erased bytes may still be in the database files, for example while
    another process reads them. The next write, or --status, tries again. --status also lists the
    backups that still contain erased texts.

    --event erases a reason, a comment, the name and source of a model, the texts of a training or
    the design of an experiment.
    The events are listed by `muniment db sql "SELECT * FROM v_event"`.
    """
    filters["until"] = min(filter(None, (filters["until"], older_than)), default=None)
    if show_status:
        if references or reason or any(value is not None for value in filters.values()):
            raise click.UsageError("--status cannot be combined with ids, filters or --reason.")
        return _status(context, as_json)
    session = context.session
    if event is not None:
        if references or any(value is not None for value in filters.values()):
            raise click.UsageError("--event cannot be combined with ids or filters.")
        texts = gettext("the texts of entry {number}").format(number=event)
        kinds = ", ".join(session.store.erasures.event_kinds(event))
        action = gettext("erase the texts of entry {number} ({kinds})").format(
            number=event, kinds=kinds
        )
        if not confirm(action, yes=yes, otherwise=_declined(), preview=_warn):
            return exit_codes.FAILED
        return report_erasure(session.erase_event(event, reason), as_json, texts)
    query = selection(context, references, filters)
    with waiting("counting generations"):
        plan = session.store.erasures.plan(query)
    parts = []
    if plan.erased:
        parts.append(_texts_of(plan.erased))
    if plan.actor:
        parts.append(_name_of(query.actor))
    if not parts:
        if not plan.matching:
            code = _report_nothing(context, plan, as_json, gettext("no generation matches"))
            # Reasons are in English, so they are no part of a translated sentence.
            if not as_json and (reasons := obstacles(context.store, query)):
                write_note(reasons)
            return code
        reason = "" if plan.skipped else _erased_already(plan.matching)
        return _report_nothing(context, plan, as_json, reason)
    question = gettext("erase {texts}").format(texts=gettext(" and ").join(parts))
    if sharing := session.store.erasures.sharing(query):
        uses = gettext("generation {id} uses an input of these generations, too")
        _list_others(sharing, uses)
        question += ngettext(
            ", and inputs that {number} other generation will lose",
            ", and inputs that {number} other generations will lose",
            len(sharing),
        ).format(number=f"{len(sharing):,}")
    if keeping := session.store.erasures.with_outputs(query):
        has = gettext("generation {id} has an output of these generations as an input")
        _list_others(keeping, has)
        question += ngettext(
            ", but not outputs that {number} other generation will keep as inputs",
            ", but not outputs that {number} other generations will keep as inputs",
            len(keeping),
        ).format(number=f"{len(keeping):,}")
    show = partial(_preview, context, plan, all_texts=True)
    if not confirm(question, yes=yes, otherwise=_declined(), preview=show):
        return exit_codes.FAILED
    with counting("erasing", None) as bar:
        result = session.erase(query, reason, bar.advance)
    erased = [_texts_of(result.erased)] if result.erased else []
    if plan.actor and not result.held + result.kept + result.running:
        erased.append(_name_of(query.actor))
    return report_erasure(result, as_json, gettext(" and ").join(erased))


_MOST_LISTED = 10
_EXCERPT = 60  # characters of a prompt


def _declined() -> str:
    return gettext("nothing was erased")


def _texts_of(number: int) -> str:
    template = ngettext(
        "the texts of {number} generation", "the texts of {number} generations", number
    )
    return template.format(number=f"{number:,}")


def _name_of(actor: str | None) -> str:
    return gettext("the name of actor {name}").format(name=actor)


def _erased_already(number: int) -> str:
    template = ngettext(
        "the texts of {number} generation are erased already",
        "the texts of {number} generations are erased already",
        number,
    )
    return template.format(number=f"{number:,}")


def _warn() -> None:
    write_note(gettext("This cannot be undone."))


def _preview(context: CliContext, plan: ErasurePlan, *, all_texts: bool = False) -> None:
    """Print the first generations that will be erased, the erased texts and the skipped ones.

    With `all_texts`, the texts of all kinds are erased.
    """
    for item in context.session.store.generations(muniment.Query(ids=plan.first)):
        line = (short_id(item.id, "stderr"), moment(item.started_at))
        write_note("  ".join((*line, excerpt(item.prompt, _EXCERPT))))
    if plan.erased > len(plan.first):
        _write_more(plan.erased - len(plan.first))
    _write_skipped(plan, _will_skip)
    if all_texts and plan.erased:
        write_note(
            gettext(
                "Prompts, inputs, outputs, tags, names of models and all other texts are erased."
            )
        )
    _warn()


def _write_more(number: int) -> None:
    write_note(gettext("and {number} more").format(number=f"{number:,}"))


def _list_others(ids: Sequence[str], use: str) -> None:
    """Print the first of the generations that share a content with those to erase.

    `use` is a sentence about such a generation, with a placeholder `id`.
    """
    for identifier in ids[:_MOST_LISTED]:
        write_note(use.format(id=identifier))
    if len(ids) > _MOST_LISTED:
        _write_more(len(ids) - _MOST_LISTED)


def selection(
    context: CliContext, references: tuple[str, ...], filters: dict[str, Any]
) -> muniment.Query:
    """Return the query for ids, whole or abbreviated, and filters.

    Raises UsageError if there are neither.
    """
    if not references and all(value is None for value in filters.values()):
        raise click.UsageError("no generation is selected; add ids, or filters such as --tag.")
    query = query_of(context, filters, limit=0)
    if not references:
        return query
    store = context.session.store
    try:
        return replace(query, ids=list(dict.fromkeys(map(store.find, references))))
    except UnknownNameError as error:
        hint = "; ".join(filter(None, (error.hint, "options such as --tag select without ids")))
        raise UnknownNameError(error.kind, error.name, hint=hint) from None


def report_erasure(result: ErasureResult, as_json: bool, erased: str) -> int:
    """Print the result and return the exit code, which is 1 if generations were skipped.

    `erased` is a phrase for the erased texts, or empty if there are none.
    """
    if as_json:
        write_json(result)
    else:
        if erased:
            write_note(gettext("Erased {texts}.").format(texts=one_line(erased)))
        else:
            write_note(gettext("Nothing was erased."))
        if erased:
            write_note_on_copies()
        _write_skipped(result, _has_skipped)
        if result.altered:
            altered = ngettext(
                "{number} erased generation had texts that were altered after they were recorded",
                "{number} erased generations had texts that were altered after they were recorded",
                result.altered,
            )
            write_note(altered.format(number=f"{result.altered:,}"))
        _write_pending(result)
    skipped = result.held or result.kept or result.running or result.shared
    return exit_codes.FAILED if skipped else exit_codes.DONE


def _report_nothing(context: CliContext, plan: ErasurePlan, as_json: bool, reason: str) -> int:
    """Print that there is nothing to erase, and return the exit code of `report_erasure`.

    Erasures that are pending are finished first, as an erasure does.
    """
    from muniment.store.retention.erasure import ErasureResult

    pending = not context.session.store.erasures.finish()
    skipped = plan.held, plan.kept, plan.running
    result = ErasureResult(0, *skipped, shared=plan.shared, pending=pending)
    if as_json:
        write_json(result)
    else:
        if reason:
            write_note(gettext("Nothing to erase: {reason}.").format(reason=reason))
        else:
            write_note(gettext("Nothing to erase."))
        _write_skipped(result, _has_skipped)
        _write_pending(result)
    return exit_codes.FAILED if plan.skipped or plan.shared else exit_codes.DONE


def _write_pending(result: ErasureResult) -> None:
    if result.pending:
        write_note(
            gettext(
                "pending: erased bytes may still be in the database files; run `muniment audit "
                "erase --status` to try again"
            )
        )


def _write_skipped(
    counts: ErasureResult | ErasurePlan, sentence: Callable[[str, str], str]
) -> None:
    """Print the numbers of skipped generations and inputs, with the causes.

    `sentence` returns a line about a number of things and a cause.
    """
    for number, cause in (
        (counts.held, gettext("on hold")),
        (counts.kept, gettext("under retention")),
        (counts.running, gettext("still running")),
    ):
        if number:
            things = ngettext("{number} generation", "{number} generations", number)
            write_note(sentence(things.format(number=f"{number:,}"), cause))
    if counts.shared:
        things = ngettext("{number} input", "{number} inputs", counts.shared)
        cause = gettext("used by generations on hold, under retention or still running")
        write_note(sentence(things.format(number=f"{counts.shared:,}"), cause))


def _will_skip(things: str, cause: str) -> str:
    return gettext("Skips {things}: {cause}.").format(things=things, cause=cause)


def _has_skipped(things: str, cause: str) -> str:
    return gettext("Skipped {things}: {cause}.").format(things=things, cause=cause)


def _status(context: CliContext, as_json: bool) -> int:
    store = context.store
    store.erasures.finish()
    erasures = list(store.erasures.records())
    columns: list[Column[ErasureRecord]] = [
        ("entry", "entry"),
        ("when", "at"),
        ("by", lambda item: actor_cell(item.actor)),
        ("erased", _erased) if on_terminal() else ("generations", "generations"),
        ("bytes", lambda item: "pending" if item.pending else "gone"),
        ("reason", "reason"),
    ]
    if not on_terminal():
        columns.append(("kinds", "kinds"))
    emit(erasures, columns, as_json, empty="nothing was erased", cut="reason")
    backups = {backup.file: backup for item in erasures for backup in item.backups}
    for backup in () if as_json else backups.values():
        advice = "delete it" if backup.there else "it is missing here, so delete any copies"
        write_note(f"backup {backup.file} contains erased texts; {advice}")
    return exit_codes.DONE


def _erased(erasure: ErasureRecord) -> str:
    """Return the number of erased generations, or else the kinds of the erased texts."""
    if erasure.kinds == ("actor",):  # has an entry of its own, after that of the generations
        return "name of actor"
    if erasure.generations:
        return pluralize(erasure.generations, "generation")
    return ", ".join(erasure.kinds)


@click.group(cls=LazyGroup)
def hold() -> None:
    """Place generations under legal hold.

    A hold prevents the erasure of its generations until it is released. It has the generations that
    match when it is added. `muniment retention set --min-days` prevents the erasure of later ones.
    """


@hold.command
@click.argument("references", metavar="[ID]...", nargs=-1)
@filter_options
@click.option("--reason", metavar="TEXT", help="Reason for the hold.")
@json_option
@click.pass_obj
def add(
    context: CliContext,
    /,
    references: tuple[str, ...],
    reason: str | None,
    as_json: bool,
    **filters: Any,
) -> None:
    """Place generations under legal hold.

    Generations on hold cannot be erased until the hold is released. Applies to the generations
    that match all given options now. A hold needs --reason, and ids or another option that selects
    generations.
    """
    selected = references or any(value is not None for value in filters.values())
    if reason is None:
        generations = "" if selected else " ids, or filters such as --tag, and"
        raise click.UsageError(f"a hold needs a reason; add{generations} --reason TEXT.")
    query = selection(context, references, filters)
    identifier, number = context.session.hold(query, reason)
    if as_json:
        holds = context.session.store.holds.in_force()
        write_json(next(hold for hold in holds if hold.id == identifier))
        return
    write_data(identifier)
    write_note(f"Placed {pluralize(number, 'generation')} on hold.")


@hold.command("list")
@headers_option
@json_option
@click.pass_obj
def list_(context: CliContext, as_json: bool) -> None:
    """List the holds in force, oldest first."""
    emit(
        context.store.holds.in_force(),
        [
            ("hold", lambda hold: short_id(hold.id)),
            ("since", "at"),
            ("by", lambda item: actor_cell(item.actor)),
            ("generations", "generations"),
            ("reason", "reason"),
        ],
        as_json,
        empty="no hold is in force",
        cut="reason",
    )


@hold.command
@click.argument("reference", metavar="HOLD")
@click.option("--reason", metavar="TEXT", help="Reason for the release.")
@click.pass_obj
def release(context: CliContext, reference: str, reason: str | None) -> None:
    """Release a hold."""
    write_note(f"Released hold {context.session.release(reference, reason)}.")


PAYLOADS = tuple("prompt input request output trace detail comment reason replay".split())


@click.group(cls=LazyGroup)
def retention() -> None:
    """Set how long texts are kept, and erase expired ones."""


@retention.command("set")
@click.option("--payload", type=click.Choice(PAYLOADS), help="Kind of text (by default any).")
@click.option(
    "--decision",
    type=click.Choice(DECISIONS),
    help="Decision on the generation (by default any). Rules for allow include undecided ones.",
)
@click.option(
    "--min-days",
    type=click.IntRange(min=1),
    metavar="DAYS",
    help="Minimum age at which texts can be erased.",
)
@click.option(
    "--max-days",
    type=click.IntRange(min=1),
    metavar="DAYS",
    help="Maximum age, after which `retention run` erases texts.",
)
@json_option
@click.pass_obj
def set_(
    context: CliContext,
    payload: str | None,
    decision: str | None,
    min_days: int | None,
    max_days: int | None,
    as_json: bool,
) -> None:
    """Set how long texts are kept.

    Without days, the rule is removed. The most specific rule applies: kind and decision, then
    kind, then decision.
    """
    if min_days is not None and max_days is not None and min_days > max_days:
        raise click.UsageError("--min-days is more than --max-days; use a smaller --min-days.")
    rule = muniment.store.Rule(payload, decision, min_days, max_days)
    _print_rules(context.session.set_retention(rule), as_json)


@retention.command
@json_option
@click.pass_obj
def show(context: CliContext, as_json: bool) -> None:
    """Show the rules in force.

    Piped output has tab-separated columns: payload, decision, minimum days, maximum days.
    """
    _print_rules(context.store.retention.rules(), as_json)


@retention.command
@yes_option
@headers_option
@json_option
@click.pass_obj
def run(context: CliContext, yes: bool, as_json: bool) -> int:
    """Erase texts that are older than their retention rule allows.

    Erases permanently, as `audit erase` does, and skips the same generations.
    """
    with waiting("counting generations"):
        plan = context.session.store.retention.plan()
    if not plan.erased:
        none = gettext("no text is older than the retention rules allow")
        _report_nothing(context, plan, as_json, none)
        return exit_codes.DONE
    action = ngettext(
        "erase texts of {number} generation that retention rules expire",
        "erase texts of {number} generations that retention rules expire",
        plan.erased,
    ).format(number=f"{plan.erased:,}")
    show = partial(_preview, context, plan)
    if not confirm(action, yes=yes, otherwise=_declined(), preview=show):
        return exit_codes.FAILED
    with counting("erasing", None) as bar:
        result = context.session.run_retention(bar.advance)
    erased = ngettext(
        "texts of {number} generation", "texts of {number} generations", result.erased
    )
    number = f"{result.erased:,}"
    report_erasure(result, as_json, erased.format(number=number) if result.erased else "")
    return exit_codes.DONE


def _print_rules(rules: list[muniment.store.Rule], as_json: bool) -> None:
    emit(
        rules,
        [
            ("payload", lambda rule: rule.payload or "any"),
            ("decision", lambda rule: rule.decision or "any"),
            ("at least", "least_days"),
            ("at most", "most_days"),
        ],
        as_json,
        empty="no retention rule is set: texts are kept until they are erased",
    )
