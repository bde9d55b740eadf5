"""The condition that a model of a data set learns, and the condition ids of the pictures."""

from __future__ import annotations

from .conditions import (
    Condition,
    ConditionError,
    ConditionKind,
    LabelCondition,
    NoCondition,
    condition_of_captions,
    condition_of_words,
)
from .dataset_folder import WORDS, DatasetError
from .datasets import Dataset, label_condition


def condition_of(dataset: Dataset, kind: ConditionKind) -> Condition:
    """Return the condition that a model of a data set learns. Raise DatasetError.

    The vocabulary of captions is that of the file `words.txt`, if the data has one.
    """
    if kind == "label":
        return label_condition(dataset.classes)
    if kind == "caption":
        captions = {caption: item.file for item in dataset.items for caption in item.captions}
        words = dataset.folder / WORDS
        try:
            if words.is_file():
                return condition_of_words(words.read_text(encoding="utf-8-sig"), list(captions))
            return condition_of_captions(list(captions))
        except ConditionError as error:
            file = captions.get(error.text, "")
            source = f" with the word list {words}" if words.is_file() else ""
            raise DatasetError(
                f"the captions cannot be used{source}, such as that of {file}: {error}"
            ) from None
        except (ValueError, OSError) as error:
            source = f"the word list {words}" if words.is_file() else "the captions"
            raise DatasetError(f"{source} cannot be used: {error}") from None
    return NoCondition()


def condition_ids(dataset: Dataset, condition: Condition) -> list[list[tuple[int, ...]]] | None:
    """Return the condition ids of each picture, one row for each of its captions.

    Raises DatasetError for a picture whose caption has no content words or too many.
    """
    if condition.length == 0:
        return None
    rows = []
    for item in dataset.items:
        is_label = isinstance(condition, LabelCondition)
        texts = [item.label or ""] if is_label else list(item.captions)
        try:
            rows.append([condition.encode(text) for text in texts])
        except ConditionError as error:
            raise DatasetError(
                f"the picture {item.file} cannot be used: {error}", [(item.file, str(error))]
            ) from None
        if not rows[-1]:
            raise DatasetError(f"the picture {item.file} has no caption; add one")
    return rows
