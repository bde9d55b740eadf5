"""The rows of a table that a split trains on, and those that it tests with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .reading import data_of, pairs_of
from .splits import Split, split_of
from .tables import Tables


def divide_tables(tables: Tables, protocol: str, seed: int = 0) -> tuple[Tables, Tables, Split]:
    """Return the tables to train on and to test with, and their split.

    Every row of a held-out pair of user and item is in the second part, with its repeats. So are
    all rows of a user that are later than the last time of the training part. Both parts describe
    all items, so that their catalogues are that of the whole. Raises DataError if no user can be
    tested.
    """
    data = data_of(tables)
    split = split_of(data.interactions, protocol, seed)
    # The users of the rows and those of the interactions have the same numbers.
    pairs = pairs_of(tables.rows, data.catalogue)
    is_later = tables.rows.times > split.ends[tables.rows.users.numbers]
    held_out = np.isin(pairs, split.rest.pairs) | is_later
    whole = replace(tables, items=data.catalogue.items)
    train = whole.with_rows(tables.rows[~held_out])
    return train, whole.with_rows(tables.rows[held_out]), split
