"""The histories of the users of a model, read without loading the model."""

from __future__ import annotations

from pathlib import Path

from muniment_recommendation.errors import QueryError
from muniment_recommendation.requests.item_ids import nearest

from .files import (
    check_files,
    damage_as_model_error,
    read_catalogue,
    read_config,
    read_user,
    read_users,
)


class Histories:
    """The histories in the folder of a model. Raises ModelError if it cannot be read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        config = read_config(folder)
        with damage_as_model_error(folder):
            check_files(folder, config)
            self._users = {user: number for number, user in enumerate(read_users(folder))}
            self.items = read_catalogue(folder).numbers
            """The numbers of the items by their ids."""
            self._ids = tuple(self.items)

    def of(self, user: str) -> list[str]:
        """Return the items of a user, the oldest first.

        Raises QueryError for an unknown user, and ModelError if the histories are damaged.
        """
        if user not in self._users:
            hint = nearest(user, self._users)
            raise QueryError(
                f"the model has no user {user!r}; {hint + ', or ' if hint else ''}"
                "use --history with the items that the user took"
            )
        with damage_as_model_error(self._folder):
            history, _ = read_user(self._folder, self._users[user])
            return [self._ids[number] for number in history]
