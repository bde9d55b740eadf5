"""The policies, models and evaluators behind the outputs of an experiment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import muniment
from muniment_analysis.recorded_scores import source_of


class Sources:
    """The policies, models and versions of evaluators behind the outputs.

    Attributes:
        models: The names and digests of the models.
    """

    def __init__(self) -> None:
        self.models: dict[str, str] = {}
        self._policies: dict[str, set[str]] = {}  # digests of texts, by name
        self._digests: dict[str, set[str]] = {}
        self._evaluators: dict[str, Counter[str]] = {}  # outputs by source, of each score

    def add(self, generations: Iterable[muniment.Generation]) -> None:
        """Add the policies and models of generations."""
        for generation in generations:
            self._policies.setdefault(generation.policy, set()).add(generation.policy_digest)
            if (model := generation.model) is not None:
                self.models[model.name] = model.digest
                self._digests.setdefault(model.name, set()).add(model.digest)

    def add_scores(self, name: str, scores: Iterable[muniment.Score]) -> Counter[str]:
        """Add the evaluators of scores of one name, and return the numbers of these by version."""
        counts = Counter(map(source_of, scores))
        self._evaluators.setdefault(name, Counter()).update(counts)
        return counts

    def warnings(self, run: str) -> Iterator[str]:
        """Yield what changed between the outputs, as after an interruption."""
        for name, counts in self._evaluators.items():
            if len(counts) > 1:
                parts = ", ".join(
                    f"{source} ({number} outputs)" for source, number in counts.items()
                )
                yield (
                    f"the scores of {name} are of {len(counts)} versions of its evaluator: "
                    f"{parts}; each has its own results, so score all outputs with one version by "
                    f"`muniment evaluate --run {run}`"
                )
        policies = sorted(self._policy_labels())
        if len(policies) > 1:
            yield f"the outputs were made under several policies: {', '.join(policies)}"
        for name, digests in self._digests.items():
            if len(digests) > 1:
                yield f"the outputs are of {len(digests)} models with the name {name}"

    def _policy_labels(self) -> Iterator[str]:
        """Yield the name of each policy, with the digest of its text if there are several."""
        for name, digests in self._policies.items():
            for digest in digests:
                yield muniment.policy_label(name, digest) if len(digests) > 1 else name or "none"
