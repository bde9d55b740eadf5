"""Where Muniment keeps things, and the settings a user made: one folder, one TOML file."""

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
    "generator.KIND": "the generator that `generate KIND` uses, e.g. generator.text",
    "model.GENERATOR": "the model that a generator uses when a request names none, e.g. model.text",
    "policy": "the policy file, or the name of an installed policy, used when none is named",
    "evaluators": "the evaluators that run when none are named, separated by commas",
    "actor": "who is recorded as having asked",
    "plugin.NAME.enabled": "false leaves the plugin out, as `plugins disable` does",
    "plugin.NAME.isolate": "true runs the plugin in a worker process, as --isolate does for all",
    "plugin.NAME.timeout": "the seconds that an answer of the plugin may take; isolates it",
    "plugin.NAME.memory": "the megabytes that the plugin may take (on Linux); isolates it",
}


class Config:
    """The settings of one home folder; reading never creates anything."""

    def __init__(self, home: Path) -> None:
        """Read `home`/config.toml if there is one; raises ConfigError when it is malformed."""
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
        for key, value in _flat(document):
            if key.startswith("plugin."):
                value = _written(value)
            if not isinstance(value, str):
                raise ConfigError(self.path, f"{key} must be text, not {value!r}")
            key = self._checked(key)
            self._values[key] = self._checked_value(key, value)

    def get(self, key: str) -> str | None:
        """Return the value of a setting, or None where the user set nothing."""
        return self._values.get(self._checked(key))

    def of_plugin(self, distribution: str, setting: str) -> str | None:
        """Return a setting of one plugin, such as `timeout`, however its name is spelled."""
        return self.get(f"plugin.{distribution}.{setting}")

    def disabled(self) -> set[str]:
        """Return the plugins that were disabled, by the normalised names of their distributions."""
        return {
            key.removeprefix("plugin.").removesuffix(".enabled")
            for key, value in self._values.items()
            if key.startswith("plugin.") and key.endswith(".enabled") and value == "false"
        }

    def items(self) -> Mapping[str, str]:
        """Return everything that was set, by key."""
        return dict(sorted(self._values.items()))

    def generators(self) -> Mapping[str, str]:
        """Return the default generators that were set, by media kind."""
        prefix = "generator."
        return {
            key.removeprefix(prefix): value
            for key, value in self._values.items()
            if key.startswith(prefix)
        }

    def set(self, key: str, value: str | None) -> None:
        """Write one setting to the file, keeping the file's comments; None removes it."""
        import tomlkit

        key = self._checked(key)
        if value is not None:
            self._checked_value(key, value)
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        document = tomlkit.parse(text)
        # The name of a generator may have dots; the normalised name of a plugin has none.
        *tables, last = key.split(".", 1 if key.startswith("model.") else -1)
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

    def _checked(self, key: str) -> str:
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
        known = ", ".join(SETTINGS)
        raise ConfigError(self.path, f"no setting is named {key!r}; there are: {known}")

    def _checked_value(self, key: str, value: str) -> str:
        """Return the value; raises ConfigError where a plugin's setting cannot mean it."""
        setting = key.rpartition(".")[2] if key.startswith("plugin.") else ""
        if setting in _PLUGIN_VALUES:
            what, fits = _PLUGIN_VALUES[setting]
            if not fits(value):
                raise ConfigError(self.path, f"{key} must be {what}, not {value!r}")
        return value


def normalised(distribution: str) -> str:
    """Return the name of a distribution as PEP 503 spells it: two that differ are two."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def home_folder() -> Path:
    """Return MUNIMENT_HOME, else the platform's folder for user data; it may not exist yet."""
    if given := os.environ.get(HOME_VARIABLE):
        return Path(os.path.expanduser(given))
    import platformdirs

    return Path(platformdirs.user_data_dir("muniment", appauthor=False))


def store_url(home: Path, given: str | None = None) -> str:
    """Return the store's address: what was given, else MUNIMENT_STORE, else SQLite in `home`.

    A plain path is read as a SQLite file.
    """
    url = given or os.environ.get(STORE_VARIABLE) or str(home / "muniment.db")
    if "://" in url:
        return url
    if "\0" in url:
        raise UsageError("the store's address contains a NUL character")
    path = str(Path(os.path.expanduser(url)).absolute())
    return f"sqlite:///{path.replace('%', '%25').replace('?', '%3F')}"


def actor_name(config: Config, given: str | None = None) -> str:
    """Return who asks: the name given, else MUNIMENT_ACTOR, the setting, the system's user."""
    name = given or os.environ.get(ACTOR_VARIABLE) or config.get("actor")
    if name:
        return name
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def _written(value: object) -> object:
    """Return a flag or a number of a TOML file as the text that `config set` would write."""
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


def _flat(table: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((prefix + key, value))
    return rows
