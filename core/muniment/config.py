"""The home folder and the user's settings, which are stored in its file config.toml."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from muniment.errors import ConfigError, UsageError

HOME_VARIABLE = "MUNIMENT_HOME"
STORE_VARIABLE = "MUNIMENT_STORE"
ACTOR_VARIABLE = "MUNIMENT_ACTOR"

SETTINGS: Mapping[str, str] = {
    "generator.KIND": "default generator of `generate KIND`, e.g. generator.text",
    "model": "default model",
    "policy": "default policy, as a file or the name of an installed policy",
    "evaluators": "default evaluators, separated by commas",
    "actor": "name recorded as the actor of each generation",
    "plugin.NAME.enabled": "false disables the plugin, as `plugins disable` does",
    "plugin.NAME.isolate": "true runs the plugin in a worker process, as --isolate does for all",
    "plugin.NAME.timeout": "maximum seconds for each reply of the plugin; isolates it",
    "plugin.NAME.memory": "maximum memory of the plugin in megabytes (Linux only); isolates it",
}


class Config:
    """The settings of one home folder. Reading them never creates a file or folder."""

    def __init__(self, home: Path) -> None:
        """Read `home`/config.toml if it exists. Raise ConfigError if it is malformed."""
        self.home = home
        self.path = home / "config.toml"
        self._values: dict[str, str] = {}
        try:
            text = self.path.read_text(encoding="utf-8")
            import tomllib

            document = tomllib.loads(text)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise ConfigError(self.path, f"cannot be read: {error}") from None
        for key, value in _flatten(document):
            if key.startswith("plugin."):
                value = _toml_text(value)
            if not isinstance(value, str):
                raise ConfigError(self.path, f"{key} must be text, not {value!r}")
            key = self._normalised_key(key)
            self._values[key] = self._validated_value(key, value)

    def get(self, key: str) -> str | None:
        """Return the value of a setting, or None if it is not set."""
        return self._values.get(self._normalised_key(key))

    def of_plugin(self, distribution: str, setting: str) -> str | None:
        """Return a setting of one plugin, such as `timeout`. The name is normalised first."""
        return self.get(f"plugin.{distribution}.{setting}")

    def disabled(self) -> set[str]:
        """Return the normalised names of the distributions that the user disabled."""
        return {
            key.removeprefix("plugin.").removesuffix(".enabled")
            for key, value in self._values.items()
            if key.startswith("plugin.") and key.endswith(".enabled") and value == "false"
        }

    def items(self) -> Mapping[str, str]:
        """Return all settings that are set, sorted by key."""
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
        """Write one setting to the file and keep the file's comments. None removes the setting."""
        import tomlkit

        key = self._normalised_key(key)
        if value is not None:
            self._validated_value(key, value)
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        document = tomlkit.parse(text)
        *tables, last = key.split(".")
        table: tomlkit.TOMLDocument | tomlkit.items.Table = document
        for name in tables:
            if name not in table:
                table[name] = tomlkit.table()
            table = table[name]
        if value is None:
            table.pop(last, None)
        else:
            table[last] = value
        temporary = self.path.with_suffix(".toml.new")
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            temporary.write_text(tomlkit.dumps(document), encoding="utf-8")
            temporary.replace(self.path)
        except UnicodeEncodeError:
            raise ConfigError(self.path, f"the value of {key} is not valid UTF-8") from None
        except OSError as error:
            raise ConfigError(self.path, f"cannot be written: {error.strerror}") from None
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value

    def _normalised_key(self, key: str) -> str:
        """Return the key with a normalised plugin name. Raise ConfigError if it is unknown."""
        kind = key.removeprefix("generator.")
        if key in SETTINGS and "." not in key:
            return key
        if key.startswith("generator.") and kind and "." not in kind:
            return key
        name, _, setting = key.removeprefix("plugin.").rpartition(".")
        if key.startswith("plugin.") and name and f"plugin.NAME.{setting}" in SETTINGS:
            return f"plugin.{normalised(name)}.{setting}"
        known = ", ".join(SETTINGS)
        raise ConfigError(self.path, f"no setting is named {key!r}; there are: {known}")

    def _validated_value(self, key: str, value: str) -> str:
        """Return the value. Raise ConfigError if it is invalid for a plugin's setting."""
        setting = key.rpartition(".")[2] if key.startswith("plugin.") else ""
        if setting in _PLUGIN_VALUES:
            expected, is_valid = _PLUGIN_VALUES[setting]
            if not is_valid(value):
                raise ConfigError(self.path, f"{key} must be {expected}, not {value!r}")
        return value


def normalised(distribution: str) -> str:
    """Return the normalised name of a distribution (PEP 503), which is equal for all spellings."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def home_folder() -> Path:
    """Return MUNIMENT_HOME, or else the platform's folder for user data. It may not exist yet."""
    if folder := os.environ.get(HOME_VARIABLE):
        return Path(os.path.expanduser(folder))
    import platformdirs

    return Path(platformdirs.user_data_dir("muniment", appauthor=False))


def store_url(home: Path, address: str | None = None) -> str:
    """Return the URL of the store.

    Use `address`, or else MUNIMENT_STORE, or else a SQLite file in `home`. A plain path is
    converted to the URL of a SQLite file.
    """
    url = address or os.environ.get(STORE_VARIABLE) or str(home / "muniment.db")
    if "://" in url:
        return url
    if "\0" in url:
        raise UsageError("the store's address contains a NUL character")
    path = str(Path(os.path.expanduser(url)).absolute())
    return f"sqlite:///{path.replace('%', '%25').replace('?', '%3F')}"


def actor_name(config: Config, name: str | None = None) -> str:
    """Return the name of the actor.

    Use `name`, or else MUNIMENT_ACTOR, or else the setting `actor`, or else the name of the
    operating system's user.
    """
    name = name or os.environ.get(ACTOR_VARIABLE) or config.get("actor")
    if name:
        return name
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def _toml_text(value: object) -> object:
    """Return a boolean or number of a TOML file as the text that `config set` would write."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _is_flag(value: str) -> bool:
    return value in ("true", "false")


def _is_seconds(value: str) -> bool:
    try:
        return 0 < float(value) < math.inf
    except ValueError:
        return False


def _is_megabytes(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) < 10 and int(value) > 0


_PLUGIN_VALUES: Mapping[str, tuple[str, Callable[[str], bool]]] = {
    "enabled": ("true or false", _is_flag),
    "isolate": ("true or false", _is_flag),
    "timeout": ("a number of seconds above 0", _is_seconds),
    "memory": ("a whole number of megabytes above 0", _is_megabytes),
}


def _flatten(table: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    """Return the leaf values of nested tables as (dotted key, value) pairs."""
    rows: list[tuple[str, object]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            rows += _flatten(value, f"{prefix}{key}.")
        else:
            rows.append((prefix + key, value))
    return rows
