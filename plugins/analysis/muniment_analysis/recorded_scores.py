"""Names of recorded scores, as `muniment audit list --score` takes them."""

from __future__ import annotations

from collections.abc import Collection

import muniment


def full_name(score: muniment.Score) -> str:
    """Return the name of a score with its evaluator, as in `similarity(scale=2).value`."""
    return f"{score.evaluator}.{score.name}"


def source_of(score: muniment.Score) -> str:
    """Return the version of the evaluator of a score, with the digests of its models.

    Scores of two sources are not comparable.
    """
    models = [f"{name} {digest}" for name, digest in sorted(score.models.items())]
    return ", ".join([score.version, *models])


def problem_of(generation: muniment.Generation) -> str | None:
    """Return why the scores of a generation cannot be used, or None."""
    if generation.status != "completed":
        return generation.status
    # After an erasure, the parameters of an evaluator are not known any more.
    if generation.erased:
        return "erased"
    return "altered" if generation.altered else None


def find_score(reference: str, names: Collection[str]) -> str:
    """Return the full name that a reference means.

    It can be the measure alone, the measure with its evaluator, or the full name. Raises
    UnknownNameError and AmbiguousNameError.
    """
    matches = [name for name in names if may_mean(reference, name)]
    if len(matches) > 1 and reference in matches:  # the evaluator with default parameters
        return reference
    if not matches:
        raise muniment.UnknownNameError("score", reference, sorted(names))
    if len(matches) > 1:
        raise muniment.AmbiguousNameError("score", reference, sorted(matches))
    return matches[0]


def may_mean(reference: str, full: str) -> bool:
    """Return whether a reference can mean the score with a full name."""
    return reference in _aliases(full)


def _aliases(full: str) -> set[str]:
    evaluator, _, measure = full.rpartition(".")
    name, bracket, _ = evaluator.partition("(")
    alone = set() if bracket else {f"{name}().{measure}"}
    return {full, measure, f"{name}.{measure}", *alone}
