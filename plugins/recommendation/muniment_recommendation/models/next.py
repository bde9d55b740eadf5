"""The family `next`: a transformer that reads a history and predicts the next item.

It needs torch, the extra `next` of the distribution.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from muniment_recommendation.data.catalogue import Catalogue
from muniment_recommendation.data.interactions import Interactions, Numbers
from muniment_recommendation.errors import DataError

from .base import HistoryScores, Progress, Recommender, Scores, Values
from .next_training import TrainingOptions, exact_results, train
from .transformer import Dimensions, Network, Parameters

DEFAULTS: Mapping[str, int | float] = {
    "width": 64,
    "layers": 2,
    "heads": 2,
    "length": 100,
    "epochs": 15,
    "batch": 800,
    "learning_rate": 0.004,
    "dropout": 0.3,
    "softmax_items": 20_000,
    "negatives": 2_048,
    "following": 5,
    "threads": 1,
}
"""The options and their defaults, chosen on the second-to-last items of MovieLens-100K.

`epochs` times the interactions, over `batch`, are the `steps`, unless these are given.
"""


class Next(Recommender):
    """A causal transformer. The score of an item is its logit as the next item.

    The newest `length` items of a history are read. Contributions are differences of scores when
    one item is left out, which are approximate: they do not sum to the score.
    """

    family: ClassVar[str] = "next"
    options: ClassVar[Mapping[str, int | float | None]] = {**DEFAULTS, "steps": None}
    is_additive: ClassVar[bool] = False
    libraries: ClassVar[tuple[str, ...]] = (*Recommender.libraries, "torch")

    def __init__(self, parameters: Parameters, values: Values) -> None:
        self.values = values
        self._network = Network(_dimensions(values, len(parameters["items"])), parameters)

    @classmethod
    def fit(
        cls,
        data: Interactions,
        catalogue: Catalogue,
        options: Mapping[str, Any],
        seed: int,
        progress: Progress | None = None,
    ) -> Self:
        """Train a model. `progress` is called after each step."""
        values = _values(options, len(data.items))
        training = TrainingOptions(
            steps=int(values["steps"]),
            batch=int(values["batch"]),
            learning_rate=values["learning_rate"],
            dropout=values["dropout"],
            softmax_items=int(values["softmax_items"]),
            negatives=int(values["negatives"]),
            following=int(values["following"]),
        )
        dimensions = _dimensions(values, data.item_count)
        try:
            with exact_results(int(values["threads"])):
                parameters = train(data, dimensions, training, seed, progress)
        except RuntimeError as error:  # as torch reports that memory cannot be allocated
            if "allocate memory" not in str(error):
                raise
            raise MemoryError("torch cannot allocate it") from None
        return cls(parameters, values)

    def with_values(self, values: Values) -> Self:
        """Return the model itself. It has no values to choose."""
        return self

    def scores(self, histories: Sequence[Numbers]) -> Scores:
        """Return the scores [Q, I]. Those of an empty history are the bias of the items.

        Each history is computed by itself, so other histories change no bit of its scores.
        """
        scores = np.empty((len(histories), self._network.dimensions.items))
        with torch.inference_mode(), exact_results():
            for query, history in enumerate(histories):
                scores[query] = self._scores_of(_tensor(history)[None]).numpy()[0]
        return scores

    def baseline(self, items: Numbers) -> Scores:
        """Return the bias [K] of some items."""
        return self._network.parameters["item_bias"].numpy()[items].astype(np.float64)

    def query(self, history: Numbers) -> HistoryScores:
        """Return the scores for a history, and their changes without each of its items."""
        return HistoryScores(
            self.scores([history])[0], lambda items: self._contributions(history, items)
        )

    def _contributions(self, history: Numbers, items: Numbers) -> Scores:
        """Return the score minus the score without each item of the history [H, K].

        Items too old to be read have 0.
        """
        length = self._network.dimensions.length
        parts = np.zeros((len(history), len(items)))
        count = min(len(history), length)
        if not count:
            return parts
        # Without one of the newest, one older item is read. Row r leaves out item r of these.
        readable = _tensor(history)[-(length + 1) :]
        left_out = np.arange(len(readable) - count, len(readable))
        columns = np.arange(len(readable) - 1)[None, :]
        rows = readable[torch.from_numpy(columns + (columns >= left_out[:, None]))]
        chosen = _tensor(items)
        with torch.inference_mode(), exact_results():
            whole = self._scores_of(readable[None], chosen)  # [1, K]
            without = self._scores_of(rows, chosen)  # [count, K]
            parts[len(history) - count :] = (whole - without).numpy()
        return parts

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the weights by name, as float32."""
        return {name: weight.numpy() for name, weight in self._network.parameters.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], values: Values) -> Self:
        """Return the model of saved weights. Raise ValueError if a weight or value does not fit."""
        try:
            item_count = len(arrays["items"])
            expected = _dimensions(values, item_count).shapes()
        except (KeyError, TypeError) as error:
            raise ValueError(f"the model lacks {error}") from None
        shapes = {name: array.shape for name, array in arrays.items()}
        if shapes != expected:
            names = sorted(
                name for name in shapes | expected if shapes.get(name) != expected.get(name)
            )
            raise ValueError(f"the weights {', '.join(names)} do not fit the values of the model")
        # A copy starts at an aligned address, on which the last bits of a sum can depend.
        return cls(
            {name: torch.tensor(arrays[name], dtype=torch.float32) for name in expected}, values
        )

    def _scores_of(
        self, histories: torch.Tensor, items: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the scores [B, I] of histories [B, T], of all items or of some."""
        network = self._network
        histories = histories[:, -network.dimensions.length :]
        if histories.shape[1] == 0:
            states = torch.zeros(len(histories), network.dimensions.width)
        else:
            states = network.newest_states(histories)
        return network.scores(states, items)


def _tensor(numbers: Numbers) -> torch.Tensor:
    return torch.from_numpy(np.array(numbers, dtype=np.int64))


def _dimensions(values: Values, item_count: int) -> Dimensions:
    return Dimensions(
        item_count,
        int(values["width"]),
        int(values["layers"]),
        int(values["heads"]),
        int(values["length"]),
    )


def _values(options: Mapping[str, Any], interactions: int) -> dict[str, int | float]:
    """Return the values of a training. Raise DataError if an option cannot be used.

    Options of other families are ignored.
    """
    known = {name: options[name] for name in (*DEFAULTS, "steps") if name in options}
    for name, value in known.items():
        _check(name, value)
    values = {**DEFAULTS, **known}
    if values["width"] % values["heads"]:
        raise DataError(f"width is no multiple of heads ({values['heads']}); change one of them")
    epochs = values.pop("epochs")
    values.setdefault("steps", math.ceil(epochs * interactions / values["batch"]))
    return values


def _check(name: str, value: Any) -> None:
    """Raise DataError if an option is outside its range."""
    if name == "dropout":
        is_valid, range_ = isinstance(value, int | float) and 0 <= value < 1, "from 0 to below 1"
    elif name == "learning_rate":
        is_valid, range_ = isinstance(value, float) and 0 < value <= 1, "above 0 and at most 1"
    else:
        is_valid, range_ = isinstance(value, int) and value > 0, "above 0 without decimals"
    if not is_valid:
        raise DataError(f"{name} is {value}; use a number {range_}")
