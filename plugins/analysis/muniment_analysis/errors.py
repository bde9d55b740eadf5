"""The errors of the analyses. Each is one sentence for the user."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import muniment


class AnalysisError(muniment.UsageError):
    """Base class of the errors for data that cannot be analysed."""


class MixedVersionsError(AnalysisError):
    """Values of several versions of an evaluator, of which one number would be made.

    Attributes:
        score: The name of the score.
        counts: The number of values of each version.
    """

    def __init__(self, score: str, where: str, counts: Mapping[str, int]) -> None:
        parts = ", ".join(f"{version} ({number} values)" for version, number in counts.items())
        super().__init__(
            f"{score}: the values {where} are of {len(counts)} versions of its evaluator: {parts}; "
            "score all outputs with one version by `muniment evaluate --run RUN`"
        )
        self.score = score
        self.counts = dict(counts)


class TableError(AnalysisError):
    """A file that is not a table with the named columns, with the line at fault."""


class RepeatedRowError(TableError):
    """Two rows with the same item, levels and seed. `lines` are their numbers."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(
            f"line {second} has the item, levels and seed of line {first}; "
            "remove one, or give it a seed of its own"
        )
        self.lines = (first, second)


class RowError(AnalysisError):
    """A row of a JSON Lines file that cannot be read or used.

    Attributes:
        line: The number of the line, from 1.
    """

    def __init__(self, path: Path, line: int, problem: object) -> None:
        super().__init__(f"{path}, line {line}: {problem}")
        self.line = line


class LogError(AnalysisError):
    """A file that is not a log of samples of a known tool, or is damaged. `path` is the file."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


class ValuesError(AnalysisError):
    """Values that are not finite, or whose squares overflow or vanish."""


class DesignError(AnalysisError):
    """A design without a basis for shares, such as a factor with one level."""


class ConstantError(AnalysisError):
    """Outputs without a difference, of which there is no variance to divide."""


class SampleError(AnalysisError):
    """Too few items, or too many that were left out.

    Attributes:
        complete: The number of usable items.
        needed: The number that the analysis needs.
    """

    def __init__(self, message: str, *, complete: int, needed: int) -> None:
        super().__init__(message)
        self.complete = complete
        self.needed = needed


class DesignFileError(AnalysisError):
    """A design of an experiment that cannot be read or has no meaning. `source` is its file."""

    def __init__(self, source: str, message: str) -> None:
        super().__init__(f"design {source}: {message}")
        self.source = source
