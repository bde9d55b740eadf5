"""Add up results: shares of prompts and of instructions, over all and for each kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from muniment_analysis.intervals import (
    Estimate,
    bootstrap_estimates,
    proportion_estimate,
    resampled_means,
    wilson_estimate,
)

from .compliance import Compliance, check_response
from .data import Prompt


class CheckedPrompt(NamedTuple):
    """A prompt with the results of its response."""

    prompt: Prompt
    results: Compliance

    def to_json(self) -> dict[str, Any]:
        """Return the row that `--rows` writes."""
        return {"key": self.prompt.key, **self.results._asdict()}


class Shares(NamedTuple):
    """The number of prompts or instructions, and the shares of those that are followed."""

    number: int
    strict: Estimate
    loose: Estimate


class Summary(NamedTuple):
    """Shares of prompts, of all instructions, and of the instructions of each kind by its id.

    A prompt is followed if all its instructions are.
    """

    prompts: Shares
    instructions: Shares
    kinds: Mapping[str, Shares]

    def to_json(self) -> dict[str, Any]:
        """Return the shares, their intervals and the numbers."""
        levels = {"prompt": self.prompts, "instruction": self.instructions}
        modes = ("strict", "loose")
        return {
            **{
                mode: {name: getattr(shares, mode).value for name, shares in levels.items()}
                for mode in modes
            },
            "interval": {
                mode: {name: _bounds(getattr(shares, mode)) for name, shares in levels.items()}
                for mode in modes
            },
            "prompts": self.prompts.number,
            "instructions": self.instructions.number,
            "kinds": {
                name: {
                    "n": shares.number,
                    **{mode: getattr(shares, mode).value for mode in modes},
                    "interval": {mode: _bounds(getattr(shares, mode)) for mode in modes},
                }
                for name, shares in self.kinds.items()
            },
        }


def check_prompts(
    prompts: Iterable[Prompt], responses: Mapping[str, str]
) -> Iterator[CheckedPrompt]:
    """Yield the prompts that have a response, with the results."""
    for prompt in prompts:
        response = responses.get(prompt.text)
        if response is not None:
            yield CheckedPrompt(prompt, check_response(response, prompt.instructions))


def summarize(checked: Sequence[CheckedPrompt]) -> Summary:
    """Return the shares over at least one prompt. The kinds are in the order of their ids."""
    kinds: dict[str, list[Compliance]] = {}
    for prompt, results in checked:
        for name in dict.fromkeys(instruction.id for instruction in prompt.instructions):
            of_kind = [instruction.id == name for instruction in prompt.instructions]
            kinds.setdefault(name, []).append(_select(results, of_kind))
    return Summary(
        _shares([Compliance((all(strict),), (all(loose),)) for _, (strict, loose) in checked]),
        _shares([results for _, results in checked]),
        {name: _shares(kinds[name]) for name in sorted(kinds)},
    )


def _select(results: Compliance, wanted: Sequence[bool]) -> Compliance:
    """Return those results of which `wanted` is true."""
    strict, loose = (
        tuple(result for result, is_wanted in zip(part, wanted, strict=True) if is_wanted)
        for part in results
    )
    return Compliance(strict, loose)


def _shares(results: Sequence[Compliance]) -> Shares:
    """Return the shares of true results. There is one object for each prompt."""
    numbers = [len(strict) for strict, _ in results]
    return Shares(
        sum(numbers),
        _estimate([sum(strict) for strict, _ in results], numbers),
        _estimate([sum(loose) for _, loose in results], numbers),
    )


def _estimate(followed: Sequence[int], numbers: Sequence[int]) -> Estimate:
    """Return the share of instructions that are followed, with its interval.

    Instructions of one prompt are not independent, so prompts are resampled. Where each prompt has
    one instruction, the interval is that of Wilson.
    """
    if max(numbers) == 1:
        return wilson_estimate(sum(followed), len(followed))
    share = sum(followed) / sum(numbers)
    if len(numbers) == 1:
        return Estimate(share, 0.0, 1.0, 1)
    rows = np.array([followed, numbers], dtype=np.float64).T
    if share in (0, 1):  # no resample differs
        return proportion_estimate(rows[:, 0] / rows[:, 1])
    means = resampled_means(rows)
    samples = means[:, :1] / means[:, 1:]
    return bootstrap_estimates(np.array([share]), samples, len(rows))[0]


def _bounds(estimate: Estimate) -> list[float]:
    return [estimate.low, estimate.high]
