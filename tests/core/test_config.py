"""Configuration: where settings come from, what wins, and what is wrong in a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from muniment import UsageError, config
from muniment.config import Config
from muniment.errors import ConfigError


def written(home: Path, text: str | bytes) -> Path:
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_bytes(text.encode() if isinstance(text, str) else text)
    return home


def test_reading_creates_nothing(home: Path) -> None:
    settings = Config(home)
    assert settings.get("model.text") is None
    assert settings.items() == {}
    assert not home.exists()


def test_settings_are_read_from_tables_and_dotted_keys(home: Path) -> None:
    written(home, 'model.text = "小模型"\ngenerator.image = "brush"\n')
    settings = Config(home)
    assert settings.items() == {"generator.image": "brush", "model.text": "小模型"}
    assert settings.get("generator.text") is None


def test_what_was_set_is_read_again(home: Path) -> None:
    Config(home).set("generator.text", "markov")
    Config(home).set("actor", 'Zoë "Q" 王')
    Config(home).set("policy", "a\nb")
    assert Config(home).items() == {
        "actor": 'Zoë "Q" 王',
        "generator.text": "markov",
        "policy": "a\nb",
    }


def test_a_generator_with_dots_in_its_name_has_a_model_of_its_own(home: Path) -> None:
    Config(home).set("model.a", "one")
    Config(home).set("model.a.b", "two")
    assert Config(home).items() == {"model.a": "one", "model.a.b": "two"}


def test_comments_and_order_survive_setting_and_removing(home: Path) -> None:
    text = '# mine\npolicy = "team" # strict\n\n[generator]\n# small\ntext = "markov"\n'
    settings = Config(written(home, text))
    settings.set("policy", "none")
    settings.set("generator.image", "brush")
    settings.set("generator.image", None)
    settings.set("evaluators", None)
    changed = settings.path.read_text(encoding="utf-8")
    assert changed == text.replace('"team"', '"none"')
    assert settings.items() == Config(home).items()


def test_a_removed_setting_is_gone(home: Path) -> None:
    settings = Config(written(home, 'actor = "a"\n'))
    settings.set("actor", None)
    assert settings.get("actor") is None
    assert Config(home).items() == {}


def test_a_plugins_settings_are_found_however_its_name_is_spelled(home: Path) -> None:
    written(home, "[plugin.My_Plugin]\nisolate = true\ntimeout = 2.5\n")
    settings = Config(home)
    assert settings.of_plugin("my.plugin", "isolate") == "true"
    assert settings.of_plugin("my-plugin", "timeout") == "2.5"
    assert settings.of_plugin("my-plugin", "memory") is None
    settings.set("plugin.zope.interface.memory", "512")
    assert Config(home).items() == {
        "plugin.my-plugin.isolate": "true",
        "plugin.my-plugin.timeout": "2.5",
        "plugin.zope-interface.memory": "512",
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("plugin.a.isolate", "yes"),
        ("plugin.a.timeout", "0"),
        ("plugin.a.timeout", "inf"),
        ("plugin.a.timeout", "soon"),
        ("plugin.a.memory", "1.5"),
        ("plugin.a.memory", "-1"),
    ],
)
def test_a_plugins_setting_that_cannot_be_meant_is_refused(
    home: Path, key: str, value: str
) -> None:
    with pytest.raises(ConfigError, match=f"{key} must be "):
        Config(home).set(key, value)
    assert not home.exists()
    table, _, name = key.rpartition(".")
    with pytest.raises(ConfigError, match=f"{key} must be "):
        Config(written(home, f'[{table}]\n{name} = "{value}"\n'))


@pytest.mark.parametrize("value", ["a" * 256, "a\nb", "\x1b[31m", " ", "\udcff"])
def test_config_actor_that_cannot_be_recorded_is_refused(home: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="actor's name"):
        Config(home).set("actor", value)
    assert not home.exists()


def test_config_actor_in_the_file_that_is_too_long_is_refused(home: Path) -> None:
    with pytest.raises(ConfigError, match="actor's name has 256 characters"):
        Config(written(home, f'actor = "{"a" * 256}"'))


@pytest.mark.parametrize(
    "key",
    [
        "modell",
        "model",
        "model.",
        "generator",
        "generator.",
        "generator.a.b",
        "",
        "actor.name",
        "Model",
        "plugin.a",
        "plugin.a.b",
        "plugin..isolate",
        "plugin.isolate",
    ],
)
def test_an_unknown_key_is_refused_and_the_known_ones_are_told(home: Path, key: str) -> None:
    settings = Config(home)
    for use in (lambda: settings.get(key), lambda: settings.set(key, "x")):
        with pytest.raises(ConfigError, match="config list --known"):
            use()
    assert not home.exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("model = ", "cannot be read"),
        ("model", "cannot be read"),
        (b'actor = "\xff"', "cannot be read"),
        ('model = "a"\nmodel = "b"', "cannot be read"),
        ("model.text = 5", r"model\.text must be text, not 5"),
        ("generator.text = true", r"generator\.text must be text"),
        ('evaluators = ["a"]', "evaluators must be text"),
        ('modell = "a"', r"no setting 'modell' \(did you mean model\.GENERATOR\?\)"),
        ('model = "a"', r"no setting 'model' \(did you mean model\.GENERATOR\?\)"),
        ("seed = -1", "no setting 'seed'; .*config list --known"),
        ('[generator.text]\nname = "a"', r"no setting 'generator\.text\.name'"),
    ],
)
def test_a_malformed_file_is_one_sentence_with_its_path(
    home: Path, text: str | bytes, complaint: str
) -> None:
    written(home, text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        Config(home)
    assert str(home / "config.toml") in str(caught.value)
    assert isinstance(caught.value, UsageError)


def test_a_home_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    settings = Config(blocked)
    blocked.write_text("")
    with pytest.raises(ConfigError, match="cannot be written: ") as caught:
        settings.set("model.text", "m")
    assert str(blocked) in str(caught.value)
    assert settings.get("model.text") is None


def test_a_home_that_is_a_file_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be read"):
        Config(tmp_path / "file")


def test_a_value_that_is_no_text_is_refused(home: Path) -> None:
    with pytest.raises(ConfigError, match="the value of policy is not valid UTF-8"):
        Config(home).set("policy", "\udcff")
    assert Config(home).items() == {}


# ---- what wins ---------------------------------------------------------------------------------


def test_the_actor_is_the_one_given_then_the_variable_then_the_setting_then_the_user(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "login")
    assert config.actor_name(Config(home)) == "login"
    settings = Config(written(home, 'actor = "set"\n'))
    assert config.actor_name(settings) == "set"
    monkeypatch.setenv("MUNIMENT_ACTOR", "variable")
    assert config.actor_name(settings) == "variable"
    assert config.actor_name(settings, "given") == "given"
    monkeypatch.setenv("MUNIMENT_ACTOR", "")
    assert config.actor_name(settings) == "set"


def test_a_user_without_a_name_is_recorded_by_number(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    assert config.actor_name(Config(home)) == str(os.getuid())


def test_the_home_is_the_variable_then_the_platforms_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUNIMENT_HOME", str(tmp_path / "h"))
    assert config.home_folder() == tmp_path / "h"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MUNIMENT_HOME", "~/there")
    assert config.home_folder() == tmp_path / "there"
    monkeypatch.delenv("MUNIMENT_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert config.home_folder().name == "muniment"


def test_the_store_is_the_one_given_then_the_variable_then_in_the_home(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert config.store_url(home) == f"sqlite:///{home}/muniment.db"
    monkeypatch.setenv("MUNIMENT_STORE", "postgresql://db/x")
    assert config.store_url(home) == "postgresql://db/x"
    monkeypatch.chdir(tmp_path)
    assert config.store_url(home, "a.db") == f"sqlite:///{tmp_path}/a.db"
    monkeypatch.setenv("HOME", "/home/me")
    assert config.store_url(home, "~/a.db") == "sqlite:////home/me/a.db"


def test_what_has_a_meaning_in_an_address_is_written_out(home: Path) -> None:
    assert config.store_url(home, "/a%b/c?d.db") == "sqlite:////a%25b/c%3Fd.db"


@pytest.mark.parametrize("odd", ["~nobody-of-that-name/a.db", "数据 库.db"])
def test_an_odd_path_is_still_a_path(home: Path, odd: str) -> None:
    assert config.store_url(home, odd).endswith(odd)


@pytest.mark.parametrize("address", [":memory:", "file:u.db?mode=ro", "file:/tmp/u.db"])
def test_an_address_with_another_meaning_to_sqlite_is_refused(home: Path, address: str) -> None:
    with pytest.raises(UsageError, match="not the path of a file"):
        config.store_url(home, address)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:s3cret@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:s3@c/ret@h:5/d", "postgresql://u:***@h:5/d"),
        ("postgresql://h/d?password=s3cret&x=1", "postgresql://h/d?password=***&x=1"),
        ("postgresql://h/d?x=1&sslPassword=s3cret", "postgresql://h/d?x=1&sslPassword=***"),
        ("postgresql://u:s3cret@h:1:2/d", "postgresql://u:***@h:1:2/d"),
        ("postgresql://u@h:5432/d", "postgresql://u@h:5432/d"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
    ],
)
def test_a_password_is_not_displayed(url: str, expected: str) -> None:
    assert config.without_password(url) == expected


def test_a_byte_order_mark_in_the_settings_is_ignored(home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_bytes(b"\xef\xbb\xbfactor = '\xe5\xb0\x8f\xe6\x98\x8e'\n")
    settings = Config(home)
    assert settings.get("actor") == "小明"
    settings.set("policy", "none")
    assert Config(home).items() == {"actor": "小明", "policy": "none"}


def test_a_nul_character_in_the_stores_address_is_refused(home: Path) -> None:
    with pytest.raises(UsageError, match="NUL"):
        config.store_url(home, "a\0b")
