"""The tables of the audit report, which its page, its Markdown and its summary print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from muniment.command import pluralize
from muniment_analysis.intervals import Estimate
from muniment_analysis.time_zones import TimeZone

from .events import KINDS
from .evidence import MAX_PROBLEMS
from .findings import Finding, FindingReason, Findings
from .report import GROUPS, AuditReport, ReplayResults

MAX_ROWS = 50  # of a table of counts; JSON and CSV have all
_MAX_MESSAGE = 200  # characters of a filter's sentence
_ORDER = ("allow", "flag", "block", "approve", "overturn", "")
_EMPTY = {
    "actor": "(erased)",
    "reviewer": "(erased)",
    "decision": "(undecided)",
    "filter": "(erased)",
    "category": "(erased)",
}
_EVENTS = {
    "review": "reviews",
    "replay": "replays",
    "erasure": "erasures",
    "hold": "holds placed",
    "release": "holds released",
    "retention": "changes of retention rules",
    "training": "trainings of models here",
    "claimed_training": "records of trainings that came with added models",
    "experiment": "experiments",
    "model": "models added or removed",
    "installation": "changes of plugins",
}
_JUDGEMENTS = {"approve": "approved", "overturn": "overturned"}
_OF_FILTERS = "By decision of the filter. A generation counts once for each decision."
_NOTES = {
    "category": _OF_FILTERS,
    "filter": _OF_FILTERS,
    "reviewer": "Reviews of these generations, by judgement.",
    "day": "Days of the start.",
}


@dataclass(frozen=True)
class Table:
    """A table with a title, of which a cell is a text or a number, and a note below it."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""


def display(group: str, value: str) -> str:
    """Return a value of a group, or the meaning of an empty one."""
    return value or _EMPTY.get(group, "(none)")


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
            yield _by_decision(group, report.groups[group])


def finding_tables(report: AuditReport) -> Iterator[Table]:
    """Yield the tables of the blocked and of the flagged generations."""
    for title, found in (
        ("Blocked generations", report.blocked),
        ("Flagged generations", report.flagged),
    ):
        more = found.total - len(found.listed)
        note = f"The newest {len(found.listed):,} of {found.total:,}." if more else ""
        headers = ("generation", "start", "policy", "actor", "reasons", "review")
        yield Table(
            title, headers, list(_finding_rows(found, report.zone)), note or _none(found.listed)
        )


def state_tables(report: AuditReport) -> Iterator[Table]:
    """Yield the tables of events, of the replays, of the verification and of the record."""
    events = [(_EVENTS[kind], report.events[kind]) for kind in KINDS if kind in report.events]
    note = "All events in this period, whatever the filters select."
    yield Table(
        "Events of the whole record",
        ("event", "number"),
        events,
        note if events else "None in this period.",
    )
    yield _replay_table(report.replay)
    yield _verification_table(report)
    yield _record_table(report)


def summary(report: AuditReport) -> str:
    """Return the numbers of generations, of blocked, flagged and failed ones as a sentence."""
    parts = [
        f"{count:,} {verb} ({100 * count / report.total:.1f} %)"
        for verb, count in (
            ("blocked", report.decisions.get("block", 0)),
            ("flagged", report.decisions.get("flag", 0)),
            ("failed", report.statuses.get("failed", 0)),
        )
        if report.total
    ]
    return pluralize(report.total, "generation") + (f": {', '.join(parts)}." if parts else ".")


def outcome(report: AuditReport) -> str:
    """Return the results of the verification and of the replays as a line, if any was made."""
    parts = []
    if (found := report.verification) is not None:
        problems = pluralize(len(found.problems), "problem") if found.problems else "no problem"
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
        yield (
            "Not verified: the numbers are those of the database. --verify compares it with the "
            "ledger."
        )
    elif not report.verification.ok:
        yield f"The verification found {pluralize(len(report.verification.problems), 'problem')}."
    if report.replay is not None and report.replay.replays.diverged:
        diverged = pluralize(len(report.replay.replays.diverged), "replay")
        yield f"{diverged} diverged from the record."
    if report.erased:
        number = pluralize(report.erased, "generation")
        yield (
            f"Texts of {number} were erased. Counts may lack their models, categories and names."
        )
    altered = sum(bool(f.altered) for f in (*report.blocked.listed, *report.flagged.listed))
    if altered:
        yield f"Texts of {altered:,} listed generations were altered after they were recorded."


def _none(rows: Sequence[object]) -> str:
    return "" if rows else "None."


def _totals(group: str, counts: Mapping[str, int]) -> Table:
    rows = [(display(group, value), count) for value, count in counts.items()]
    return Table(group, (group, "generations"), rows)


def _by_decision(group: str, values: Mapping[str, Mapping[str, int]]) -> Table:
    used = {decision for decisions in values.values() for decision in decisions}
    columns = [name for name in _ORDER if name in used] + sorted(used.difference(_ORDER))
    # The numbers of a filter's decisions can contain a generation several times.
    with_sum = group not in ("filter", "category") and len(columns) > 1
    items = list(values.items())
    shown = items[-MAX_ROWS:] if group == "day" else items[:MAX_ROWS]
    rows = [
        (
            display(group, value),
            *(decisions.get(name, 0) for name in columns),
            *([sum(decisions.values())] if with_sum else []),
        )
        for value, decisions in shown
    ]
    headers = [display("decision", name).strip("()") for name in columns]
    note = _NOTES.get(group, "")
    if len(items) > len(shown):
        order = "The last" if group == "day" else "The most frequent"
        note = f"{order} {len(shown):,} of {len(items):,}. {note}".strip()
    return Table(group, (group, *headers, *(["all"] if with_sum else [])), rows, note)


def _finding_rows(found: Findings, zone: TimeZone) -> Iterator[tuple[str, ...]]:
    for item in found.listed:
        yield (
            item.id,
            zone.text(item.at),
            display("policy", item.policy),
            display("actor", item.actor),
            reasons_text(item),
            review_text(item),
        )


def reasons_text(item: Finding) -> str:
    """Return the reasons of a generation by filter, and the texts that were altered."""
    causes: dict[str, list[str]] = {}
    for reason in item.reasons:
        causes.setdefault(_origin(reason), []).append(_cause(reason))
    texts = [
        f"{origin}: {', '.join(filter(None, found))}".removesuffix(": ")
        for origin, found in causes.items()
    ]
    if item.more_reasons:
        texts.append(f"and {item.more_reasons:,} more")
    if item.altered:
        texts.append(f"altered after it was recorded: {', '.join(item.altered)}")
    return "; ".join(texts) or "(erased)"


def review_text(item: Finding) -> str:
    """Return the reviews of a generation, such as `approved by reviewer 1`."""
    texts = []
    for reviewer, judgements in item.reviews.items():
        for judgement, count in judgements.items():
            text = f"{_JUDGEMENTS.get(judgement, judgement)} by {display('reviewer', reviewer)}"
            texts.append(f"{text} ({count} times)" if count > 1 else text)
    return "; ".join(texts) or "not reviewed"


def _origin(reason: FindingReason) -> str:
    """Return the filter and the judged content, such as `blocklist (output)`."""
    origin = f"{reason.filter or '(erased)'} ({reason.stage})"
    if reason.decision != reason.action:
        origin += f", {reason.decision} with the action {reason.action}"
    return origin


def _cause(reason: FindingReason) -> str:
    """Return the category and the sentence of a reason, such as `violence – the word knife`."""
    message = reason.message
    if len(message) > _MAX_MESSAGE:
        message = f"{message[:_MAX_MESSAGE]}…"
    return " – ".join(filter(None, (reason.category, message)))


def _replay_table(results: ReplayResults | None) -> Table:
    headers = ("result", "replays", "share", "95 % interval")
    if results is None:
        return Table("Replay", headers, (), "Not replayed. --replay N generates N of them again.")
    replays = results.replays
    rows = [
        (name, replays.counts.get(name, 0), _percent(share.value), _interval(share))
        for name, share in replays.shares.items()
    ]
    if replays.same is not None:
        possible = replays.total - replays.counts.get("impossible", 0)
        same = round(replays.same.value * possible)
        about = "the same bytes, of those that were possible"
        rows.append((about, same, _percent(replays.same.value), _interval(replays.same)))
    note = f"A sample of {replays.total:,} completed generations, with the key {results.key}."
    if replays.diverged:
        note += f" Diverged: {', '.join(replays.diverged[:MAX_PROBLEMS])}."
    return Table("Replay", headers, rows, note)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _interval(estimate: Estimate) -> str:
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f} %"


def _verification_table(report: AuditReport) -> Table:
    found = report.verification
    headers = ("problem", "where", "message")
    if found is None:
        return Table("Verification", headers, (), "Not verified.")
    checked = f"{found.entries:,} entries. Checked: {', '.join(found.checked)}."
    if "signatures" not in found.checked:
        checked += " Without a key, no signature was checked."
    elif found.unsigned_tail:
        checked += f" Not signed: the newest {found.unsigned_tail:,}."
    rows = [(item.kind, item.where, item.message) for item in found.problems[:MAX_PROBLEMS]]
    more = len(found.problems) - len(rows)
    verdict = "Problems were found in" if found.problems else "No problem was found in"
    return Table(
        "Verification",
        headers,
        rows,
        f"{verdict} {checked}" + (f" {more:,} more problems are not listed." if more else ""),
    )


def _record_table(report: AuditReport) -> Table:
    evidence, checkpoint = report.evidence, report.evidence.checkpoint
    rows: list[tuple[str, object]] = [
        ("log", evidence.log),
        ("entries", f"{evidence.entries:,}"),
        ("root", evidence.root),
    ]
    if checkpoint is None:
        rows.append(("signing key", "none: no checkpoint is signed"))
    else:
        rows += [
            ("signing key", checkpoint.key),
            ("signed entries", f"{checkpoint.entries:,}"),
            ("signed root", checkpoint.root),
        ]
    rows += [(f"query: {name}", value) for name, value in report.query.items()]
    rows.append(("people", "names" if report.names else "numbers, which hold in this report only"))
    rows += list(evidence.versions.items())
    return Table("Record", ("fact", "value"), rows)
