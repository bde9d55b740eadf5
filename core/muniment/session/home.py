"""The configuration, plugins, models and store of a home, which every session has."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from muniment import config
from muniment.generation.notices import GenerationNotices
from muniment.models.notices import AdditionNotices
from muniment.models.registry import Models
from muniment.plugins.isolation import PluginWorkers
from muniment.plugins.registry import Plugins
from muniment.representation import showing
from muniment.signing import KeyStore, open_store
from muniment.store import Store
from muniment.validation import check_name, refuse_empty

if TYPE_CHECKING:
    from muniment.plugins.media import MediaTypes


class OpenHome:
    """The objects of a home that an actor uses, each created on first use.

    A subclass opens the store by `store` to read and by `_open_store` to record. It appends the
    function that closes an object of its own to `_closing`.
    """

    __repr__ = showing(
        "home", "actor", store=lambda opened: config.without_password(opened.store_url)
    )

    def __init__(
        self,
        home: str | Path | None = None,
        *,
        store: str | None = None,
        actor: str | None = None,
        plugins: Plugins | None = None,
        isolate: bool = False,
    ) -> None:
        """Take the home folder, the store's URL or path, and the actor (see muniment.config).

        `isolate` runs every plugin in a worker process, not only those that a setting isolates.
        Raises UsageError for an empty text.
        """
        refuse_empty(**{"home": home, "store": store, "actor's name": actor})
        self.home = Path(home) if home is not None else config.home_folder()
        self.config = config.Config(self.home)
        self.store_url = config.store_url(self.home, store)
        self.actor = config.actor_name(self.config, actor)
        check_name("actor's name", self.actor)
        self.plugins = plugins if plugins is not None else Plugins()
        self.plugins.disable(self.config.disabled())
        self._workers = PluginWorkers(self.config, everything=isolate)
        self.plugins.load_objects = self._workers.load_objects
        self.models = Models(self.home)
        self.plugins.hash_cache = self.models.hash_cache
        self.notices: Callable[[str], AbstractContextManager[AdditionNotices]] = lambda label: (
            nullcontext(AdditionNotices())
        )
        self.generation_notices = GenerationNotices()
        self.warn: Callable[[str], None] | None = None  # instead of warnings of Python
        self._store: Store | None = None
        self._closing = [self._workers.close]  # called by `close`, the newest first

    @cached_property
    def media(self) -> MediaTypes:
        """The media types of the installed plugins, for outputs other than text.

        Example:
            >>> session.media.describe(done.outputs[0])
        """
        from muniment.plugins.media import MediaTypes  # a text generation needs none of it

        return MediaTypes(self.plugins, self.warn, self.config)

    @property
    def store(self) -> Store:
        """The store. Raises StoreError if it does not exist.

        Example:
            >>> session.store.find("last") == done.id
            True
        """
        return self._open_store(create=False)

    def ensure_store(self) -> None:
        """Open the store for recording, and create it if it does not exist. Raises StoreError.

        Example:
            >>> with muniment.open(folder) as opened:
            ...     opened.ensure_store()
            >>> (folder / "muniment.db").is_file()
            True
        """
        self._open_store()

    def close(self) -> None:
        """Sign a checkpoint if something was recorded and a key exists, and close all objects.

        Raises VerificationError when the record does not continue the last signed checkpoint.

        Example:
            >>> opened = muniment.open(folder)
            >>> opened.close()
        """
        try:
            if self._store is not None and self._store.wrote:
                KeyStore(self.home).sign(self._store)
        finally:
            if self._store is not None:
                self._store.close()
            self._store = None
            for close in reversed(self._closing):
                close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _open_store(self, *, create: bool = True) -> Store:
        """Return the store, opened on first use. Without `create`, a missing one is an error."""
        if self._store is None:
            self._store = open_store(self.home, self.store_url, create=create)
        return self._store
