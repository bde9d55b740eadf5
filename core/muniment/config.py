"""The settings of the user in `config.toml`, and the locations of the home folder and the store."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from muniment.errors import ConfigError, PromptError, UsageError
from muniment.names import normal_name
from muniment.representation import showing

HOME_VARIABLE = "MUNIMENT_HOME"
# A password before the host, or the value of an option such as `password` or `sslpassword`.
_PASSWORD = re.compile(r"(?<=://)([^:@/?#]*:)[^?#]*@|([?&][^=&]*password[^=&]*=)[^&#]*", re.I)
# GB 45438-2025, annex E, note j.
_PRODUCER = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}")
STORE_VARIABLE = "MUNIMENT_STORE"
ACTOR_VARIABLE = "MUNIMENT_ACTOR"

SETTINGS: Mapping[str, str] = {
    "generator.KIND": "default generator of `generate KIND`, for example generator.text",
    "model.GENERATOR": "default model of a generator, for example model.text",
    "policy": "default policy (a file, or the name of an installed policy)",
    "evaluators": "default evaluators, separated by commas",
    "actor": "name of the actor that is recorded",
    "producer": "code of the producer in exported files, as GB 45438-2025 defines it",
    "certificate": "certificate in PEM that signs exported files, with those of its issuers",
    "certificate_key": "private key in PEM of the certificate",
    "trusted_root": "root certificates in PEM whose signatures are trusted in files",
    "plugin.NAME.enabled": "false disables the plugin, as `plugins disable` does",
    "plugin.NAME.isolate": "true runs the plugin in a worker process, as --isolate does for all",
    "plugin.NAME.timeout": "maximum seconds for an answer of the plugin; implies isolate",
    "plugin.NAME.memory": "maximum memory of the plugin in megabytes (on Linux); implies isolate",
}

# Descriptions and patterns of the settings of a plugin.
_PLUGIN_VALUES = {
    "enabled": ("true or false", "true|false"),
    "isolate": ("true or false", "true|false"),
    "timeout": ("a number of seconds above 0", r"(?=.*[1-9])[0-9]{0,9}(\.[0-9]{0,9})?"),
    "memory": ("a whole number of megabytes above 0", r"0*[1-9][0-9]{0,8}"),
}


class Config:
    """The settings of one home folder.

    Reading settings never creates files or folders.
    """

    __repr__ = showing("path")

    def __init__(self, home: Path) -> None:
        """Read `config.toml` in the home folder, if it exists.

        Raise ConfigError if it cannot be read or has invalid settings.
        """
        self.home = home
        self.path = home / "config.toml"
        self._values: dict[str, str] = {}
        try:
            text = _read(self.path)
        except FileNotFoundError:
            return
        import tomllib

        try:
            document = tomllib.loads(text)
        except ValueError as error:
            raise ConfigError(self.path, f"cannot be read: {error}; correct the file") from None
        for names, value in _flatten(document):
            key = _normalised_key(self.path, ".".join(names), in_file=True)
            if key.startswith("plugin.") and isinstance(value, bool | int | float):
                value = str(value).lower()  # the text that `config set` writes
            if not isinstance(value, str):
                raise ConfigError(
                    self.path, f"{key} must be text, not {value!r}; put the value in quotes"
                )
            _check_value(self.path, key, value)
            self._values[key] = value

    def get(self, key: str) -> str | None:
        """Return the value of a setting, or None if it is not set.

        Raise ConfigError if there is no setting of this name.
        """
        return self._values.get(_normalised_key(self.path, key))

    def of_plugin(self, distribution: str, setting: str) -> str | None:
        """Return a setting of one plugin, such as `timeout`, or None if it is not set.

        `distribution` need not be normalised.
        """
        return self.get(f"plugin.{distribution}.{setting}")

    def disabled(self) -> set[str]:
        """Return the normalised names of the distributions whose plugins are disabled."""
        return {
            key.removeprefix("plugin.").removesuffix(".enabled")
            for key, value in self._values.items()
            if key.startswith("plugin.") and key.endswith(".enabled") and value == "false"
        }

    def items(self) -> Mapping[str, str]:
        """Return all settings that have a value, sorted by key."""
        return dict(sorted(self._values.items()))

    def generators(self) -> Mapping[str, str]:
        """Return the configured default generators by media kind."""
        prefix = "generator."
        return {
            key.removeprefix(prefix): value
            for key, value in self._values.items()
            if key.startswith(prefix)
        }

    def set(self, key: str, value: str | None) -> None:
        """Write a setting to the file, or remove it if `value` is None.

        See `write_setting`. Only `muniment config set` checks that a model, policy, generator or
        evaluator exists. Raise ConfigError, too, if the file has other invalid settings.
        """
        write_setting(self.home, key, value)
        self._values = Config(self.home)._values


def write_setting(
    home: Path,
    key: str,
    value: str | None,
    resolve: Callable[[str, str], str] | None = None,
) -> str | None:
    """Write a setting to `config.toml` in a home folder, or remove it if `value` is None.

    Returns the stored value.

    `resolve` returns the value to store for a known key and a valid value. Comments in the file are
    preserved. The file may have invalid settings, which can be removed. Raise ConfigError if the
    key or the value is invalid, or if the file cannot be read or written.
    """
    import tomlkit

    from muniment.files import atomic_write, make_folder

    path = home / "config.toml"
    try:
        document = tomlkit.parse(_read(path) if path.exists() else "")
    except ValueError as error:
        raise ConfigError(path, f"cannot be read: {error}; correct the file") from None
    spellings = [names for names, _ in _flatten(document) if _same_key(".".join(names), key)]
    if value is not None or not spellings:
        key = _normalised_key(path, key)
    if value is not None:
        _check_value(path, key, value)
        if resolve is not None:
            value = resolve(key, value)
        # The name of a generator may have dots; the normalised name of a plugin has none.
        canonical = tuple(key.split(".", 1 if key.startswith("model.") else -1))
        spellings = [names for names in spellings if names != canonical]
    for *tables, last in spellings:
        _table(path, document, tables).pop(last)
    if value is not None:
        *tables, last = canonical
        _table(path, document, tables)[last] = value
    try:
        make_folder(home)
        atomic_write(path, tomlkit.dumps(document).encode())
    except UnicodeEncodeError:
        raise ConfigError(path, f"the value of {key} is not valid UTF-8") from None
    except OSError as error:
        raise ConfigError(
            path, f"cannot be written: {error.strerror}; use another home with --home"
        ) from None
    return value


def _read(path: Path) -> str:
    """Return the text of the file. Raise ConfigError, or FileNotFoundError if it does not exist."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise
    except IsADirectoryError:
        reason = "it is a folder; remove or rename it"
    except UnicodeDecodeError as error:
        reason = f"it is not UTF-8 text (at byte {error.start + 1}); save it as UTF-8"
    except OSError as error:
        reason = f"{error.strerror}; correct its path or permissions"
    raise ConfigError(path, f"cannot be read: {reason}")


def _normalised_key(path: Path, key: str, *, in_file: bool = False) -> str:
    """Return a key with a normalised name of the plugin.

    Raise ConfigError if there is no setting of this name. If it is `in_file`, the error says how to
    remove it.
    """
    key = normal_name(key)
    kind = key.removeprefix("generator.")
    if key in SETTINGS and "." not in key:
        return key
    if key.startswith("generator.") and kind and "." not in kind:
        return key
    if key.startswith("model.") and key != "model.":
        return key
    name, _, setting = key.removeprefix("plugin.").rpartition(".")
    if key.startswith("plugin.") and name and f"plugin.NAME.{setting}" in SETTINGS:
        return f"plugin.{normalised(name)}.{setting}"
    remedy = "`muniment config list --known` lists the settings"
    if in_file:
        remedy = f"`muniment config unset {key!r}` removes it, and {remedy}"
    raise ConfigError(path, f"there is no setting {key!r}{_similar_settings(key)}; {remedy}")


def _check_value(path: Path, key: str, value: str) -> None:
    """Raise ConfigError if a value is invalid for the actor, the producer or a plugin."""
    if key == "producer" and not _PRODUCER.fullmatch(value):
        raise ConfigError(
            path,
            "producer must be a code of at most 128 ASCII characters without spaces, quotes and "
            f"backslashes, not {value!r:.80}",
        )
    if key == "actor":
        from muniment.validation import check_name

        try:
            check_name("actor's name", value)
        except PromptError as error:
            raise ConfigError(path, str(error)) from None
    setting = key.rpartition(".")[2] if key.startswith("plugin.") else ""
    if setting in _PLUGIN_VALUES:
        description, pattern = _PLUGIN_VALUES[setting]
        if not re.fullmatch(pattern, value):
            raise ConfigError(path, f"{key} must be {description}, not {value!r}")


def _same_key(one: str, other: str) -> bool:
    """Return whether two keys are equal, with the name of a plugin normalised."""
    if not one.startswith("plugin.") or not other.startswith("plugin."):
        return normal_name(one) == normal_name(other)
    names = (one.rpartition("."), other.rpartition("."))
    return len({(normalised(name), setting) for name, _, setting in names}) == 1


def _table(path: Path, document: Any, names: Sequence[str]) -> Any:
    """Return the table of these names in a document of tomlkit, made if it does not exist.

    Raise ConfigError for a value in place of a table.
    """
    import tomlkit

    for name in names:
        document = document.setdefault(name, tomlkit.table())
        if not isinstance(document, dict):
            raise ConfigError(
                path,
                f"{name} is a value, and not a table of settings; "
                f"`muniment config unset {name!r}` removes it",
            )
    return document


def _similar_settings(key: str) -> str:
    """Return a hint that names the settings whose first part is similar to that of a key.

    Without one, these are the settings with the same last part.
    """
    from difflib import get_close_matches

    firsts = [name.partition(".")[0] for name in SETTINGS]
    close = get_close_matches(key.partition(".")[0], firsts, 1)
    similar = [name for name in SETTINGS if name.partition(".")[0] in close]
    last = key.rpartition(".")[2]
    similar = similar or [name for name in SETTINGS if name.rpartition(".")[2] == last]
    return f" (did you mean {' or '.join(similar)}?)" if similar else ""


def normalised(distribution: str) -> str:
    """Return the name of a distribution, normalised as in PEP 503."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def home_folder() -> Path:
    """Return the home folder, which may not exist yet.

    It is MUNIMENT_HOME, or by default the platform's folder for user data.
    """
    if folder := os.environ.get(HOME_VARIABLE):
        return Path(os.path.expanduser(folder))
    import platformdirs

    return Path(platformdirs.user_data_dir("muniment", appauthor=False))


def store_url(home: Path, address: str | None = None) -> str:
    """Return the URL of the store.

    It is `address`, or else MUNIMENT_STORE, or else that of `muniment.db` in `home`. An address
    without "://" is the path of an SQLite file. Raise UsageError if it contains NUL, or has a
    meaning to SQLite other than a path.
    """
    url = address or os.environ.get(STORE_VARIABLE) or str(home / "muniment.db")
    if "://" in url:
        return url
    if "\0" in url:
        raise UsageError("the address of the store contains a NUL character; remove it")
    if url == ":memory:" or url.startswith("file:"):
        raise UsageError(f"the address {url!r} is not the path of a file; use a path for the store")
    path = str(Path(os.path.expanduser(url)).absolute())
    return f"sqlite:///{path.replace('%', '%25').replace('?', '%3F')}"


def without_password(url: str) -> str:
    """Return a URL, which may be malformed, with three asterisks in place of each password."""
    return _PASSWORD.sub(lambda found: f"{found[1]}***@" if found[1] else f"{found[2]}***", url)


def actor_name(config: Config, name: str | None = None) -> str:
    """Return the name of the actor.

    It is the first that is set of `name`, MUNIMENT_ACTOR, the setting `actor`, and the name or
    number of the operating system's user.
    """
    name = name or os.environ.get(ACTOR_VARIABLE) or config.get("actor")
    if name:
        return name
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def _flatten(
    table: Mapping[str, object], names: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield the values of nested tables, each with the names that lead to it."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, (*names, name))
        else:
            yield (*names, name), value
