"""The filters of a query for generations, and which recorded models and scores they mean."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, cast, get_args

from sqlalchemy import Connection

from muniment.errors import AmbiguousNameError, UnknownNameError, UsageError, choice_of
from muniment.moments import parse_moment
from muniment.names import is_name, model_names, normal_name
from muniment.representation import showing
from muniment.store.database.tables import generation
from muniment.types.generations import Status
from muniment.types.verdicts import DECISIONS, UNDECIDED, Decision
from muniment.validation import check_counts, check_texts, refuse_empty

_WITH_PARAMETERS = re.compile(r"([^<>=!(]+)\(.*\)\.([^<>=!()]+?)")
_CONDITION = re.compile(
    rf"\s*({_WITH_PARAMETERS.pattern}|[^<>=!(]+?)\s*(<=|>=|!=|=|<|>)\s*(\S+)\s*"
)
_ORDER = re.compile(r"(-?)score:(.+)")
_DIGEST = re.compile(r"(?:[a-z0-9-]+:)?[0-9a-f]{4,}")
_TEXTS = (
    *("status", "generator", "model", "decision", "filter", "category", "policy", "made_with"),
    *("actor", "tag", "run"),
)
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "status": get_args(Status),
    "decision": (*DECISIONS, UNDECIDED),
}
_SCHEMES = ("", "file-sha256:", "tree1-sha256:")

if TYPE_CHECKING:
    Moment: TypeAlias = datetime | str
else:
    Moment = datetime  # which a query has after its initialisation, and a saved one in JSON

Origin: TypeAlias = tuple[str, str, str]
"""Generator, model name and model digest; the latter two are empty if no model runs."""


@dataclass(frozen=True, slots=True)
class Query:
    """Filters for generations. A generation matches if it passes all filters that are not None.

    Attributes:
        since: Earliest start, included: a time with a zone, or a text such as 2026-01-31 or 7d.
        until: Latest start, excluded. A date as a text includes the whole day.
        status: The status. A started generation whose process has ended is interrupted.
        generator: The name of the generator.
        model: The model's name, its digest or a prefix of the digest. A path matches the name as
            written, its plain form, such as `model` for `./model`, and its absolute form.
        decision: The most severe action taken, or `undecided` for generations without a decision.
            With `filter`, the decision of that filter instead, whether or not the policy acted on
            it.
        filter: The name of a filter that returned a verdict.
        actor: The name of the actor.
        tag: A tag.
        run: The whole id of the run.
        seed: The seed.
        limit: Maximum number of generations.
        ids: The whole ids of generations.
        scores: Conditions on scores, such as `perplexity<20`. A score that failed or is missing
            meets none. `statistics.length>5` also names the evaluator, which is needed if several
            evaluators use the name. `statistics(words=true).length>5` means only the scores of an
            evaluator with these parameters, as `evaluate` takes them, and `statistics().length`
            those with default parameters.
        sort: The order of a list: `score:perplexity` for the lowest score first, or
            `-score:perplexity` for the highest. Generations without the score come last. By
            default the newest come first, as they always do outside of lists.
        item: The number of an item of an experiment, from 0. It needs `run`.
        category: A category that a filter found: one with a score above 0, of a verdict that flags,
            blocks or was acted on. With `filter`, a category that this filter found.
        policy: The name of the recorded policy, such as `team@3`, or `team` for every version. Or
            the SHA-256 of its file, or a prefix of it. A label of `Stats.groups` is accepted too.
        made_with: The distribution of a plugin that took part, such as `muniment-text`, or at one
            version, such as `muniment-text==0.1.0`. Later evaluations do not count. The name of an
            installed plugin, such as `text`, is an alias in commands alone, because it can belong
            to another distribution later.
        reviewed: Whether a person has decided on the verdicts.

    Example:
        >>> query = muniment.Query(since="2026-01-31", status="completed", limit=3)
        >>> query.period == (query.since, query.until)
        True
        >>> [found.id == done.id for found in session.generations(muniment.Query(seed=7))]
        [True]
    """

    since: Moment | None = None
    until: Moment | None = None
    status: Status | None = None
    generator: str | None = None
    model: str | None = None
    decision: Decision | Literal["undecided"] | None = None
    filter: str | None = None
    actor: str | None = None
    tag: str | None = None
    run: str | None = None
    seed: int | None = None
    limit: int | None = None
    ids: Sequence[str] | None = None
    scores: Sequence[str] | None = None
    sort: str | None = None
    item: int | None = None
    category: str | None = None
    policy: str | None = None
    made_with: str | None = None
    reviewed: bool | None = None

    __repr__ = showing()

    def __post_init__(self) -> None:
        """Raise UsageError if a text is empty or unknown, or another value is malformed."""
        # An empty text could match all generations or none, also in an erasure.
        refuse_empty(**{name: getattr(self, name) for name in _TEXTS})
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in known:
                raise UsageError(f"no {name} is named {value!r:.80}{choice_of(str(value), known)}")
        if self.filter is not None and self.decision == UNDECIDED:
            raise UsageError("a filter's decision is never undecided; remove the filter")
        for name in ("generator", "filter"):
            text = getattr(self, name)
            if text is not None and is_name(normal_name(text)):
                object.__setattr__(self, name, normal_name(text))
        object.__setattr__(self, "since", _moment("since", self.since))
        object.__setattr__(self, "until", _moment("until", self.until, end=True))
        for name in ("ids", "scores"):
            if getattr(self, name) is not None:
                check_texts(name, getattr(self, name))
        for condition in self.scores or ():
            parse_condition(condition)
        if self.sort is not None:
            parse_order(self.sort)
        if self.item is not None:
            if self.run is None:
                raise UsageError("an item belongs to an experiment; add its run")
            check_counts("query", [self.item], ["item"])
        if self.reviewed is not None and not isinstance(self.reviewed, bool):
            raise UsageError(f"reviewed must be True or False, not {self.reviewed!r:.80}")

    @property
    def period(self) -> tuple[datetime | None, datetime | None]:
        """The earliest start, included, and the latest start, excluded."""
        return cast(tuple[datetime | None, datetime | None], (self.since, self.until))


def _moment(name: str, value: object, *, end: bool = False) -> datetime | None:
    """Return a time of a query in UTC. Raise UsageError for anything but a time with a zone."""
    if isinstance(value, str):
        return parse_moment(value, end=end)
    if value is None or (isinstance(value, datetime) and value.tzinfo is not None):
        return value
    raise UsageError(
        f"{name} must be a datetime with a time zone, such as datetime(2026, 1, 31, tzinfo=UTC), "
        f"or a text such as '2026-01-31' or '7d', not {value!r}"
    )


COLUMNS = (
    generation.c.seq,
    generation.c.outcome,
    generation.c.id,
    generation.c.status,
)


class GenerationRow(NamedTuple):
    """A row of `COLUMNS`: number, number of the outcome, id and stored status."""

    seq: int
    outcome: int | None
    id: str
    status: str


def parse_condition(text: str) -> tuple[str, str, float]:
    """Return the name of the score, the operator and the number of a condition.

    The operators are also operators of SQL. Raise UsageError if the text is malformed.
    """
    match = _CONDITION.fullmatch(text)
    try:
        value = float(match[5]) if match else math.nan
    except ValueError:
        value = math.nan
    if match is None or not math.isfinite(value):
        raise UsageError(
            f"{text!r} is not a condition on a score; use a name, one of < <= > >= = != and a "
            "number, as in 'perplexity<20'"
        )
    return normal_name(match[1]), match[4], value


def parse_order(text: str) -> tuple[str, bool]:
    """Return the name of the score of an order, and whether the highest come first.

    Raise UsageError if the text is malformed.
    """
    match = _ORDER.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{text!r} is not an order; use score:NAME for the lowest score first, or -score:NAME "
            "for the highest"
        )
    return normal_name(match[2]), match[1] == "-"


# ---- recorded values that a filter means -------------------------------------------------------


def distinct_origins(connection: Connection, generator: str | None) -> Iterator[Origin]:
    """Yield the recorded combinations of generator and model, each by lookups in the index."""
    table = "generation"
    # SQLite uses only the first column of a comparison of rows, so each column has its own loop.
    generators = [generator] if generator is not None else distinct(connection, table, "generator")
    for value in generators:
        of_generator = ("generator", value)
        for name in distinct(connection, table, "model_name", of_generator):
            of_model = ("model_name", name)
            for digest in distinct(connection, table, "model_digest", of_generator, of_model):
                yield value, name, digest


def is_model(model: str, name: str, digest: str) -> bool:
    """Return whether a filter's `model` is the name, the digest or a prefix of the digest."""
    return name in names_of_model(model) or any(map(digest.startswith, digest_prefixes(model)))


def names_of_model(model: str) -> Sequence[str]:
    """Return the recorded names that a filter's `model` means.

    A setting has the absolute form of a path, which is then the recorded name.
    """
    names = list(model_names(model))
    with contextlib.suppress(OSError):  # the working directory was deleted
        names.append(os.path.abspath(os.path.expanduser(model)))
    return names


def digest_prefixes(model: str) -> Sequence[str]:
    """Return the prefixes of digests that a filter's `model` can mean, if it can be a digest."""
    if not _DIGEST.fullmatch(model):
        return ()
    return [scheme + model for scheme in (_SCHEMES[:1] if ":" in model else _SCHEMES)]


def distinct(
    connection: Connection, table: str, column: str, *within: tuple[str, str]
) -> Iterator[str]:
    """Yield the distinct values of an indexed column except NULL, with one lookup for each.

    `within` has the preceding columns of the index with their values.
    """
    placeholder = ":{}" if connection.dialect.name == "sqlite" else "%({})s"
    conditions = [f"{name} = {placeholder.format(name)}" for name, _ in within]
    parameters = dict(within)
    greater = f"{column} IS NOT NULL"
    while True:
        where = " AND ".join([*conditions, greater])
        sql = f"SELECT {column} FROM {table} WHERE {where} ORDER BY {column} LIMIT 1"
        value = connection.exec_driver_sql(sql, parameters).scalar()
        if value is None:
            return
        yield value
        greater = f"{column} > {placeholder.format('after')}"
        parameters = parameters | {"after": value}


class ScoreName(NamedTuple):
    """The name of recorded scores.

    Attributes:
        evaluator: The name of the evaluator without parameters.
        measure: The name of the measure.
        full_name: The name of the evaluator with parameters, or empty for all parameters. The name
            without parameters means those that are all defaults.
    """

    evaluator: str
    measure: str
    full_name: str = ""


def find_score(connection: Connection, reference: str) -> ScoreName:
    """Return the evaluator and the measure of a recorded score.

    Raise UnknownNameError if no recorded score has this name, and AmbiguousNameError if several
    evaluators use it.
    """
    if (match := _WITH_PARAMETERS.fullmatch(reference)) is not None:
        evaluator, measure = match[1], match[2]
        names = distinct(connection, "score", "name")
        known = [
            name
            for name in names
            if evaluator in distinct(connection, "score", "evaluator", ("name", name))
        ]
        if measure not in known:
            hint = f"measures of {evaluator}: {', '.join(known)}" if known else ""
            raise UnknownNameError("score", reference, hint=hint)
        return ScoreName(evaluator, measure, reference.removesuffix(f".{measure}"))
    pairs = [
        (evaluator, name)
        for name in distinct(connection, "score", "name")
        for evaluator in distinct(connection, "score", "evaluator", ("name", name))
    ]
    matches = [(one, name) for one, name in pairs if reference in (name, f"{one}.{name}")]
    if not matches:
        raise UnknownNameError("score", reference, sorted({name for _, name in pairs}))
    if len(matches) > 1:
        raise AmbiguousNameError("score", reference, sorted(map(".".join, matches)))
    return ScoreName(*matches[0])
