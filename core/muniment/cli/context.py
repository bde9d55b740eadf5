"""Global options of a command, and the session or store that they select."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from muniment.cli.gc_freeze import importing

if TYPE_CHECKING:
    from muniment.config import Config
    from muniment.models.packaged import AdditionNotices
    from muniment.models.registry import Models
    from muniment.session import Session
    from muniment.store import Store
    from muniment.types import PackagedModel


_T = TypeVar("_T")

# Key of `click.Context.meta` with the value of --home, for use before the options are parsed.
HOME_KEY = "muniment.home"


class Interrupted(Exception):
    """Ctrl-C after everything was recorded. Its message is printed."""


class CliContext:
    """Global options and the objects they select, created on first use and closed at the end.

    Commands that only read use `store`, which loads neither plugins nor the pipeline.
    """

    def __init__(
        self,
        home: str | None = None,
        store: str | None = None,
        actor: str | None = None,
        plugin_files: tuple[str, ...] = (),
    ) -> None:
        self._home, self._store, self._actor = home, store, actor
        self._plugin_files = plugin_files
        self.isolate = False  # run every plugin in a worker process

    @cached_property
    def home(self) -> Path:
        """The home folder, which may not exist yet."""
        from muniment import config

        return Path(self._home).expanduser() if self._home else config.home_folder()

    @cached_property
    def store_url(self) -> str:
        """The store's URL."""
        from muniment import config

        return config.store_url(self.home, self._store)

    @cached_property
    def files(self) -> list[Path]:
        """The files of the store, the settings and the keys, which no output may replace."""
        with importing():
            from muniment.store.database import open_database

            store = open_database(self.store_url).files
        return [*store, self.home / "config.toml", *self.home.glob("keys/*")]

    @cached_property
    def config(self) -> Config:
        """The settings file. Raises ConfigError if it is malformed."""
        from muniment.config import Config

        return Config(self.home)

    @cached_property
    def models(self) -> Models:
        """The models of the home folder."""
        from muniment.models.registry import Models

        return Models(self.home)

    @cached_property
    def store(self) -> Store:
        """The store, for reading. Raises StoreError if it does not exist."""
        with importing():
            from muniment.store import Store

            return Store.open(self.store_url, create=False)  # imports the database driver

    @cached_property
    def session(self) -> Session:
        """The session, for writing. It loads plugins when it first needs one."""
        from muniment.plugins.registry import Plugins
        from muniment.session import Session

        plugins = Plugins(files=self._plugin_files) if self._plugin_files else None
        session = Session(
            self.home,
            store=self._store,
            actor=self._actor,
            plugins=plugins,
            isolate=self.isolate,
        )
        session.notices = _printed_notices
        return session

    def close(self) -> None:
        """Close the session and the store. New entries are signed first if there is a key."""
        session, store = self.__dict__.pop("session", None), self.__dict__.pop("store", None)
        try:
            if session is not None:
                session.close()
            if store is not None and store.wrote:
                from muniment.signing import sign_after_writing

                sign_after_writing(self.home, store)
        finally:
            if store is not None:
                store.close()


def _printed_notices(model: PackagedModel) -> AdditionNotices:
    from muniment.cli.addition import PrintedNotices

    return PrintedNotices(model)


@contextlib.contextmanager
def closing_iterator(items: Iterator[_T]) -> Iterator[Iterator[_T]]:
    """Close the iterator when the block ends, so that it records an interruption at once."""
    try:
        yield items
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()
