"""The tables of the audit report, which its page, its Markdown and its summary print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import muniment
from muniment_analysis.intervals import Estimate

from .events import KINDS
from .evidence import MAX_PROBLEMS
from .findings import Finding, FindingReason, Findings
from .report import GROUPS, AuditReport, ReplayResults
from .texts import gettext, ngettext, person, term, term_and_value

MAX_ROWS = 50  # of a table of counts; JSON and CSV have all
_MAX_MESSAGE = 200  # characters of a filter's sentence
_ORDER = ("allow", "flag", "block", "approve", "overturn", "")


@dataclass(frozen=True)
class Table:
    """A table with a title, of which a cell is a text or a number, and a note below it."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""


def display(group: str, value: str, *, numbered: bool = False) -> str:
    """Return a value of a group, or the meaning of an empty one.

    `numbered` is whether people have numbers in place of names.
    """
    if group == "model" and value == muniment.ERASED:
        return _erased()
    if group == "decision":
        return decision_name(value)
    if value:
        if numbered and group in ("actor", "reviewer"):
            return person(value)
        return term_and_value(value) if group == "status" else value
    is_erased = group in ("generator", "actor", "reviewer", "filter", "category")
    return _erased() if is_erased else gettext("(none)")


def _erased() -> str:
    """Return the mark in place of an erased text or name."""
    return gettext("[erased]")


def count_rows(report: AuditReport) -> Iterator[tuple[str, str, str, int]]:
    """Yield all counts as group, value, decision and number. Status and decision have one value."""
    for value, count in report.statuses.items():
        yield "status", value, "", count
    for value, count in report.decisions.items():
        yield "decision", display("decision", value), "", count
    for group in GROUPS:
        for value, decisions in report.groups[group].items():
            for decision, count in decisions.items():
                yield group, display(group, value), display("decision", decision), count


def count_tables(report: AuditReport) -> Iterator[Table]:
    """Yield a table of counts for each group that has any."""
    yield _totals("status", report.statuses)
    yield _totals("decision", report.decisions)
    for group in GROUPS:
        if report.groups[group]:
            yield _by_decision(group, report.groups[group], numbered=not report.names)


def finding_tables(report: AuditReport) -> Iterator[Table]:
    """Yield the tables of the blocked and of the flagged generations."""
    for title, found in (
        (gettext("Blocked generations"), report.blocked),
        (gettext("Flagged generations"), report.flagged),
    ):
        note = ""
        if found.total > len(found.listed):
            note = gettext("The newest {number} of {total}.").format(
                number=f"{len(found.listed):,}", total=f"{found.total:,}"
            )
        headers = (
            gettext("generation"),
            gettext("start"),
            gettext("policy"),
            gettext("actor"),
            gettext("reasons"),
            gettext("review"),
        )
        yield Table(title, headers, list(_finding_rows(found, report)), note or _none(found.listed))


def state_tables(report: AuditReport) -> Iterator[Table]:
    """Yield the tables of events, of the replays, of the verification and of the record."""
    names = _event_names()
    events = [(names[kind], report.events[kind]) for kind in KINDS if kind in report.events]
    note = gettext("All of them, whatever the filters select.")
    yield Table(
        gettext("Events in this period"),
        (gettext("event"), gettext("number")),
        events,
        note if events else gettext("None in this period."),
    )
    yield _replay_table(report.replay)
    yield _verification_table(report)
    yield _record_table(report)


def period(report: AuditReport) -> str:
    """Return the period of the report, the time when it was made, and the time zone of both."""
    zone = report.zone
    times = {
        "until": zone.text(report.until),
        "at": zone.text(report.at),
        "zone": report.time_zone,
    }
    if report.since is None:
        return gettext(
            "From the first generation to {until}. Made at {at}. Days and times in {zone}."
        ).format(**times)
    since = zone.text(report.since)
    return gettext("From {since} to {until}. Made at {at}. Days and times in {zone}.").format(
        since=since, **times
    )


def summary(report: AuditReport) -> str:
    """Return the numbers of generations, of blocked, flagged and failed ones as a sentence."""
    parts = [
        template.format(number=f"{count:,}", share=_percent(count / report.total))
        for template, count in (
            (gettext("{number} blocked ({share})"), report.decisions.get("block", 0)),
            (gettext("{number} flagged ({share})"), report.decisions.get("flag", 0)),
            (gettext("{number} failed ({share})"), report.statuses.get("failed", 0)),
        )
        if report.total
    ]
    number = ngettext("{number} generation", "{number} generations", report.total)
    return gettext(": ").join([number, *filter(None, [gettext(", ").join(parts)])]) + gettext(".")


def outcome(report: AuditReport) -> str:
    """Return the results of the verification and of the replays as a line, if any was made."""
    parts = []
    if (found := report.verification) is not None:
        problems = _problems(found) if found.problems else "no problem"
        signed = "" if "signatures" in found.checked else ", no signature checked"
        parts.append(f"verification: {problems} in {found.entries:,} entries{signed}")
    if report.replay is not None:
        counts = report.replay.replays.counts
        results = ", ".join(f"{number:,} {name}" for name, number in counts.items())
        parts.append(f"replays: {results or 'none, no generation is completed'}")
    return "; ".join(parts)


def warnings(report: AuditReport) -> Iterator[str]:
    """Yield what a reader must know before the numbers."""
    if report.verification is None:
        yield gettext(
            "Not verified: the numbers are those of the database. --verify compares the database "
            "with the ledger."
        )
    elif not report.verification.ok:
        found = gettext("The verification found {problems}.")
        yield found.format(problems=_problems(report.verification))
    if report.replay is not None and report.replay.replays.diverged:
        yield ngettext(
            "{number} replay diverged from the record.",
            "{number} replays diverged from the record.",
            len(report.replay.replays.diverged),
        )
    if report.erased:
        yield ngettext(
            "Texts of {number} generation were erased. Counts may lack their models, categories "
            "and names.",
            "Texts of {number} generations were erased. Counts may lack their models, categories "
            "and names.",
            report.erased,
        )
    altered = sum(bool(f.altered) for f in (*report.blocked.listed, *report.flagged.listed))
    if altered:
        yield ngettext(
            "Texts of {number} listed generation were altered after they were recorded.",
            "Texts of {number} listed generations were altered after they were recorded.",
            altered,
        )


def _problems(found: Any) -> str:
    return ngettext("{number} problem", "{number} problems", len(found.problems))


def _event_names() -> dict[str, str]:
    return {
        "review": gettext("reviews"),
        "replay": gettext("replays"),
        "erasure": gettext("erasures"),
        "hold": gettext("holds placed"),
        "release": gettext("holds released"),
        "retention": gettext("changes of retention rules"),
        "training": gettext("models trained here"),
        "claimed_training": gettext("training records of added models"),
        "experiment": gettext("experiments"),
        "model": gettext("models added or removed"),
        "installation": gettext("changes of plugins"),
    }


def _group_names() -> dict[str, str]:
    return {
        "status": gettext("status"),
        "decision": gettext("decision"),
        "generator": gettext("generator"),
        "model": gettext("model"),
        "policy": gettext("policy"),
        "actor": gettext("actor"),
        "day": gettext("day"),
        "filter": gettext("filter"),
        "category": gettext("category"),
        "reviewer": gettext("reviewer"),
    }


def _group_note(group: str) -> str:
    if group in ("category", "filter"):
        return gettext("By decision of the filter. A generation counts once for each decision.")
    if group == "reviewer":
        return gettext("Reviews of these generations, by judgement.")
    return gettext("Days of the start.") if group == "day" else ""


def _none(rows: Sequence[object]) -> str:
    return "" if rows else gettext("None.")


def _totals(group: str, counts: Mapping[str, int]) -> Table:
    rows = [(display(group, value), count) for value, count in counts.items()]
    name = _group_names()[group]
    return Table(name, (name, gettext("generations")), rows)


def decision_name(decision: str) -> str:
    """Return the name of a decision or judgement for a column, also without a decision."""
    return term_and_value(decision or "undecided")


def _by_decision(group: str, values: Mapping[str, Mapping[str, int]], *, numbered: bool) -> Table:
    used = {decision for decisions in values.values() for decision in decisions}
    columns = [name for name in _ORDER if name in used] + sorted(used.difference(_ORDER))
    # The numbers of a filter's decisions can contain a generation several times.
    with_sum = group not in ("filter", "category") and len(columns) > 1
    items = list(values.items())
    shown = items[-MAX_ROWS:] if group == "day" else items[:MAX_ROWS]
    rows = [
        (
            display(group, value, numbered=numbered),
            *(decisions.get(name, 0) for name in columns),
            *([sum(decisions.values())] if with_sum else []),
        )
        for value, decisions in shown
    ]
    headers = map(decision_name, columns)
    note = _group_note(group)
    if len(items) > len(shown):
        order = gettext("The most frequent {number} of {total}.")
        if group == "day":
            order = gettext("The last {number} of {total}.")
        part = order.format(number=f"{len(shown):,}", total=f"{len(items):,}")
        note = f"{part} {note}".strip()
    name = _group_names()[group]
    return Table(name, (name, *headers, *([gettext("all")] if with_sum else [])), rows, note)


def _finding_rows(found: Findings, report: AuditReport) -> Iterator[tuple[str, ...]]:
    numbered = not report.names
    for item in found.listed:
        yield (
            item.id,
            report.zone.text(item.at),
            display("policy", item.policy),
            display("actor", item.actor, numbered=numbered),
            reasons_text(item),
            review_text(item, numbered=numbered),
        )


def reasons_text(item: Finding) -> str:
    """Return the reasons of a generation by filter, and the texts that were altered."""
    causes: dict[str, list[str]] = {}
    for reason in item.reasons:
        causes.setdefault(_origin(reason), []).append(_cause(reason))
    texts = [
        gettext(": ").join(filter(None, (origin, gettext(", ").join(filter(None, found)))))
        for origin, found in causes.items()
    ]
    if item.more_reasons:
        texts.append(gettext("and {number} more").format(number=f"{item.more_reasons:,}"))
    if item.altered:
        altered = gettext("altered after it was recorded: {kinds}")
        texts.append(altered.format(kinds=gettext(", ").join(map(term, item.altered))))
    return gettext("; ").join(texts) or _erased()


def review_text(item: Finding, *, numbered: bool = False) -> str:
    """Return the reviews of a generation, such as `approved by reviewer 1`.

    `numbered` is whether people have numbers in place of names.
    """
    templates = {
        "approve": gettext("approved by {reviewer}"),
        "overturn": gettext("overturned by {reviewer}"),
    }
    texts = []
    for reviewer, judgements in item.reviews.items():
        for judgement, count in judgements.items():
            name = display("reviewer", reviewer, numbered=numbered)
            text = templates[judgement].format(reviewer=name)
            if count > 1:
                text += gettext(" ({number} times)").format(number=count)
            texts.append(text)
    return gettext("; ").join(texts) or gettext("not reviewed")


def _origin(reason: FindingReason) -> str:
    """Return the filter and the judged content, such as `blocklist (output)`."""
    origin = gettext("{filter} ({stage})").format(
        filter=reason.filter or _erased(), stage=term(reason.stage)
    )
    if reason.decision != reason.action:
        differing = gettext(", {decision} with the action {action}")
        origin += differing.format(decision=term(reason.decision), action=term(reason.action))
    return origin


def _cause(reason: FindingReason) -> str:
    """Return the category and the sentence of a reason, such as `violence – the word knife`."""
    message = reason.message
    if len(message) > _MAX_MESSAGE:
        message = f"{message[:_MAX_MESSAGE]}…"
    return " – ".join(filter(None, (reason.category, message)))


def _replay_table(results: ReplayResults | None) -> Table:
    title = gettext("Replay")
    headers = (gettext("result"), gettext("replays"), gettext("share"), gettext("95 % interval"))
    if results is None:
        missing = gettext("Not replayed. --replay N generates N of them again.")
        return Table(title, headers, (), missing)
    replays = results.replays
    rows = [
        (term_and_value(name), replays.counts.get(name, 0), _percent(share.value), _interval(share))
        for name, share in replays.shares.items()
    ]
    if replays.same is not None:
        possible = replays.total - replays.counts.get("impossible", 0)
        same = round(replays.same.value * possible)
        about = gettext("the same bytes, of those that were possible")
        rows.append((about, same, _percent(replays.same.value), _interval(replays.same)))
    sample = gettext("A sample of {number} completed generations, with the key {key}.")
    note = sample.format(number=f"{replays.total:,}", key=results.key)
    if replays.diverged:
        ids = ", ".join(replays.diverged[:MAX_PROBLEMS])
        note += gettext(" Diverged: {ids}.").format(ids=ids)
    return Table(title, headers, rows, note)


def _percent(value: float) -> str:
    return gettext("{number} %").format(number=f"{100 * value:.1f}")


def _interval(estimate: Estimate) -> str:
    low, high = f"{100 * estimate.low:.1f}", f"{100 * estimate.high:.1f}"
    return gettext("{low} to {high} %").format(low=low, high=high)


def _verification_table(report: AuditReport) -> Table:
    found = report.verification
    title = gettext("Verification")
    headers = (gettext("problem"), gettext("where"), gettext("message"))
    if found is None:
        return Table(title, headers, (), gettext("Not verified."))
    verdict = gettext("No problem was found in {number} entries. Checked: {checks}.")
    if found.problems:
        verdict = gettext("Problems were found in {number} entries. Checked: {checks}.")
    note = verdict.format(
        number=f"{found.entries:,}", checks=gettext(", ").join(map(term, found.checked))
    )
    if "signatures" not in found.checked:
        note += gettext(" Without a key, no signature was checked.")
    elif found.unsigned_tail:
        unsigned = gettext(" Not signed: the newest {number}.")
        note += unsigned.format(number=f"{found.unsigned_tail:,}")
    rows = [
        (term_and_value(item.kind), item.where, item.message)
        for item in found.problems[:MAX_PROBLEMS]
    ]
    if more := len(found.problems) - len(rows):
        note += gettext(" {number} more problems are not listed.").format(number=f"{more:,}")
    return Table(title, headers, rows, note)


def _record_table(report: AuditReport) -> Table:
    evidence, checkpoint = report.evidence, report.evidence.checkpoint
    rows: list[tuple[str, object]] = [
        (gettext("log"), evidence.log),
        (gettext("entries"), f"{evidence.entries:,}"),
        (gettext("root"), evidence.root),
    ]
    if checkpoint is None:
        rows.append((gettext("signing key"), gettext("none: no checkpoint is signed")))
    else:
        rows += [
            (gettext("signing key"), checkpoint.key),
            (gettext("signed entries"), f"{checkpoint.entries:,}"),
            (gettext("signed root"), checkpoint.root),
        ]
    condition = gettext("query {name}")
    rows += [(condition.format(name=name), value) for name, value in report.query.items()]
    numbers = gettext("numbers, which hold in this report only")
    rows.append((gettext("people"), gettext("names") if report.names else numbers))
    rows += list(evidence.versions.items())
    return Table(gettext("Record"), (gettext("fact"), gettext("value")), rows)
