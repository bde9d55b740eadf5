"""Global options of a command, and the session or store that they select."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import muniment.config
import muniment.store
from muniment.cli import importing
from muniment.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from muniment.ledger.events import TrainingEntry
    from muniment.models.registry import Models
    from muniment.plugins.media import MediaTypes
    from muniment.store.recording.events import RecordedEvent

# Key of `click.Context.meta` with the value of --home, for use before the options are parsed.
HOME_KEY = "muniment.home"
# Key of `click.Context.meta` with the arguments after the global options, for error messages.
WORDS_KEY = "muniment.words"
# Files and folders that Muniment makes in the home folder.
_HOME_NAMES = (
    *("muniment.db", "muniment.db-wal", "muniment.db-shm"),
    *("config.toml", "file-hashes.json", "cache", "keys", "models", "plugins"),
)
# Settings that name files.
_PATH_SETTINGS = ("policy", "certificate", "certificate_key", "trusted_root")


class Interrupted(Exception):
    """Ctrl-C after everything was recorded. Its message, if any, is printed."""


def context_of(ctx: click.Context) -> CliContext:
    """Return the global options, or the defaults when the command runs without `muniment`."""
    context = ctx.find_object(CliContext)
    if context is None:
        context = ctx.find_root().obj = CliContext()
        ctx.find_root().call_on_close(context.close)
    return context


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
        """Raise UsageError for an empty text, in place of which a default would be used."""
        from muniment.validation import refuse_empty  # `--help` does not need it

        refuse_empty(**{"home": home, "store": store, "actor's name": actor})
        self._home, self._store, self._actor = home, store, actor
        self._plugin_files = plugin_files
        self.isolate = False  # run every plugin in a worker process

    @cached_property
    def home(self) -> Path:
        """The home folder, which may not exist yet."""
        return Path(os.path.expanduser(self._home)) if self._home else muniment.config.home_folder()

    @cached_property
    def store_url(self) -> str:
        """The store's URL."""
        return muniment.config.store_url(self.home, self._store)

    @cached_property
    def files(self) -> list[Path]:
        """The files and folders of the store, the home and plugins that no output may replace."""
        with importing():
            from muniment.store.database.opening import open_database

            store = open_database(self.store_url).files
        plugins = (Path(os.path.expanduser(file)) for file in self._plugin_files)
        settings: list[Path] = []
        with contextlib.suppress(ConfigError):  # raised by the commands that use the settings
            items = self.config.items().items()
            settings = [
                Path(value)
                for key, value in items
                if (key in _PATH_SETTINGS or key.startswith("model.")) and os.path.isabs(value)
            ]
        return [*store, *plugins, *(self.home / name for name in _HOME_NAMES), *settings]

    @cached_property
    def config(self) -> muniment.config.Config:
        """The settings file. Raises ConfigError if it is malformed."""
        return muniment.config.Config(self.home)

    @cached_property
    def models(self) -> Models:
        """The models of the home folder."""
        from muniment.models.registry import Models

        return Models(self.home)

    @cached_property
    def store(self) -> muniment.store.Store:
        """The store, for reading. Raises StoreError if it does not exist."""
        with importing():  # of the database and its driver
            from muniment.signing import open_store

            return open_store(self.home, self.store_url, create=False)

    @cached_property
    def session(self) -> muniment.Session:
        """The session, for writing. It loads plugins when it first needs one."""
        from muniment.cli.notices import LoadingNotices, printed_notices
        from muniment.cli.output import one_line, write_note
        from muniment.plugins.registry import Plugins

        session = muniment.Session(
            self.home,
            store=self._store,
            actor=self._actor,
            plugins=Plugins(files=self._plugin_files),
            isolate=self.isolate,
        )
        session.notices = printed_notices
        session.generation_notices = LoadingNotices()
        session.warn = lambda text: write_note(f"Warning: {one_line(text)}")
        return session

    @cached_property
    def media(self) -> MediaTypes:
        """The media types of the plugins, which are loaded here, for outputs other than text."""
        from muniment.cli.output import warn_broken

        warn_broken(self.session.plugins.load())
        return self.session.media

    def history(self, kind: type[Any], key: str) -> list[RecordedEvent[Any]]:
        """Return the recorded events of a kind about a plugin or model, none without a store."""
        try:
            return self.store.events.with_key(kind, key)
        except StoreError:
            return []

    def trainings(self, digests: Iterable[str]) -> list[RecordedEvent[TrainingEntry]]:
        """Return the trainings of models and of their base models, none without a store."""
        try:
            return self.store.trainings.of(digests)
        except StoreError:
            return []

    def close(self) -> None:
        """Close the session and the store. New entries are signed first if there is a key."""
        session, store = self.__dict__.pop("session", None), self.__dict__.pop("store", None)
        try:
            if session is not None:
                session.close()
            if store is not None and store.wrote:
                from muniment.signing import KeyStore

                KeyStore(self.home).sign(store)
        finally:
            if store is not None:
                store.close()
