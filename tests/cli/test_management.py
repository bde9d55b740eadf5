"""`muniment models`, `plugins`, `policy`, `config` and `db`."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from support.commands import Here
from support.plugins import PluginFolder

TINY = """
from pathlib import Path
import muniment

class Tiny(muniment.Generator):
    name, media_type, determinism, uses_model = "tiny", "text/plain", "exact", True

    def packaged_models(self):
        return ()

    def use_cache(self, folder):
        self.cache = folder

    def load(self, model):
        self.word = (Path(model.path) / "word.txt").read_text()
        self.source = "cache" if self.cache.exists() else "test"
        if self.word == "unloadable":
            raise RuntimeError("not this word")

    def retest(self):
        self.source = "test"
        self.cache.mkdir(parents=True, exist_ok=True)

    def environment(self):
        return {"note.source": self.source, "cache": self.cache.name}

    def generate(self, requests):
        for request in requests:
            yield request.reply(muniment.Text(f"{request.prompt} {self.word}"))

    def add_model(self, source, into, progress):
        if source == "missing":
            raise muniment.ModelError(source, "the weights of missing are not there")
        progress("writing", 0.5)
        (into / "word.txt").write_text(source)
        return {"name": source, "roles": {"weights": "word.txt"}, "terms": "Use it kindly."}

    def find_model(self, source):
        raise muniment.ModelError(source, f"{source} is not on this machine")

@muniment.hookimpl
def muniment_generators(register):
    register(Tiny)
"""


REFUSING = """
from pathlib import Path
import muniment

class Words(muniment.Generator):
    name, media_type, uses_model, model_files = "words", "text/plain", True, ("model.json",)

    def load(self, model):
        raise muniment.ModelError(model.path, f"{model.path} is no model")

    def packaged_models(self):
        return ()

    def add_model(self, source, into, progress):
        raise muniment.ModelError(source, f"{source} is no model")

    def find_model(self, source):
        raise muniment.ModelError(source, f"{source} is no model")

    def generate(self, requests):
        return ()

class Pairs(Words):
    name, model_files = "pairs", ("model.json", "pairs.json")

class Any(Words):
    name, model_files = "any", ()

class Plain(muniment.Generator):
    name, media_type = "plain", "text/plain"

    def generate(self, requests):
        return ()

@muniment.hookimpl
def muniment_generators(register):
    register(Words)
    register(Pairs)
    register(Any)
    register(Plain)
"""


@pytest.fixture
def tiny(muniment: Here, plugin_folder: PluginFolder) -> Here:
    """The command line with a generator that runs models."""
    plugin_folder.add(TINY, distribution="test-tiny")
    return muniment


class TestModels:
    def test_add_shows_the_terms_and_the_model_can_be_used(self, tiny: Here) -> None:
        result = tiny("models", "add", "hello", "--generator", "tiny")
        assert result.code == 0
        assert result.out.startswith("added hello  tree1-sha256:")
        assert result.err == "Use it kindly.\n"
        assert tiny("generate", "tiny", "oh", "-m", "hello").out == "oh hello\n"
        assert tiny("generate", "tiny", "oh").out == "oh hello\n"  # the only one
        assert " · hello · " in tiny("generate", "tiny", "oh").err

    def test_list_show_and_their_json(self, tiny: Here) -> None:
        assert "no model was added yet" in tiny("models", "list").err
        assert tiny("models", "list", "--json").out == ""
        added = tiny("models", "add", "hello", "--generator", "tiny", "--json").json("model")[0]
        assert tiny("models", "list", "--json").json("model") == [added]
        assert tiny("models", "list").rows[0][:2] == ["hello", "tiny"]
        (shown,) = tiny("models", "show", "hello", "--json").json("model")
        assert shown["files"] == {"word.txt": 5}
        assert shown["terms"] == "Use it kindly."
        assert "weights    word.txt" in tiny("models", "show", "hello").lines
        (change,) = shown["history"]
        assert (change["act"], change["digest"]) == ("added", shown["digest"])
        assert change["at"] in tiny("models", "show", "hello").out

    def test_the_list_has_local_times_on_a_terminal(self, tiny: Here) -> None:
        (added,) = tiny("models", "add", "hello", "--generator", "tiny", "--json").json("model")
        local = f"{datetime.fromisoformat(added['added_at']).astimezone():%Y-%m-%d %H:%M:%S}"
        assert tiny("models", "list").rows[0][4] == added["added_at"]
        for command in (("list",), ("show", "hello")):
            shown = tiny.on_terminal("models", *command, width=140).out
            assert local in shown
            assert added["added_at"][:19] not in shown

    def test_a_folder_of_another_generator_is_named_with_that_generator(
        self, muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
    ) -> None:
        plugin_folder.add(REFUSING, distribution="test-refusing")
        folder = tmp_path / "a model"
        folder.mkdir()
        (folder / "model.json").touch()
        for command in (
            ("models", "add", folder, "--generator", "words"),
            ("generate", "words", "hi", "-m", folder),
            ("generate", "words", "hi", "-m", folder, "--isolate"),
        ):
            assert "is no model" in muniment(*command).err  # it has no file of `pairs`
        (folder / "pairs.json").touch()
        added = muniment("models", "add", folder, "--generator", "words")
        assert added.code == 1
        assert f"`muniment models add '{folder}' --generator pairs`" in added.err
        assert f"({folder} is no model)" in added.err  # its own reason
        for isolate in ((), ("--isolate",)):
            used = muniment("generate", "words", "hi", "-m", folder, *isolate)
            assert f"`muniment generate pairs -m '{folder}'`" in used.err
            assert f"({folder} is no model)" in used.err
            (shown,) = muniment("audit", "show", "last", "--json").json("generation")
            assert f"({folder} is no model)" in shown["failure"]["message"]
        assert "is no model" in muniment("generate", "pairs", "hi", "-m", folder).err  # its own
        # Any folder may be a model of a generator that declares no files.
        for command in (
            ("models", "add", folder, "--generator", "any"),
            ("generate", "any", "hi", "-m", folder),
            ("generate", "any", "hi", "-m", folder, "--isolate"),
        ):
            refused = muniment(*command).err
            assert f"{folder} is no model" in refused
            assert "pairs" not in refused

    @pytest.mark.parametrize("length", [20, 300])
    def test_a_path_that_is_too_long_is_refused_as_any_other_missing_one(
        self, muniment: Here, plugin_folder: PluginFolder, length: int
    ) -> None:
        plugin_folder.add(REFUSING, distribution="test-refusing")
        path = "./" + "x" * length
        refused = muniment("models", "add", path, "--generator", "words")
        assert (refused.code, f"{path} is no model" in refused.err) == (1, True)
        unknown = muniment("config", "set", "model.words", path)
        assert (unknown.code, "does not exist" in unknown.err) == (2, True)

    def test_adding_and_removing_are_on_record(self, tiny: Here) -> None:
        (added,) = tiny("models", "add", "hello", "--generator", "tiny", "--json").json("model")
        tiny("models", "remove", "hello", "--yes")
        with closing(sqlite3.connect(tiny("db", "path").out.strip())) as database:
            rows = database.execute("SELECT canonical_bytes FROM entry WHERE kind = 'model'")
            entries = [json.loads(data) for (data,) in rows]
        assert [(held["act"], held["digest"]) for held in entries] == [
            ("added", added["digest"]),
            ("removed", added["digest"]),
        ]
        assert tiny("audit", "verify", "--all").code == 0

    def test_a_name_can_be_chosen_and_is_taken_once(self, tiny: Here) -> None:
        add = ("models", "add", "hello", "--generator", "tiny", "--name", "mine")
        assert tiny(*add).code == 0
        again = tiny(*add)
        assert again.code == 1
        assert "a model named mine exists already" in again.err

    def test_remove_asks_unless_told(self, tiny: Here) -> None:
        tiny("models", "add", "hello", "--generator", "tiny")
        refused = tiny("models", "remove", "hello")
        assert refused.code == 2
        assert "--yes" in refused.err
        assert tiny("models", "remove", "hello", "--yes").out == "removed hello\n"
        assert tiny("models", "list").out == ""

    @pytest.mark.parametrize("spoil", ["half-written", "spoilt record", "no folder"])
    def test_what_is_spoilt_is_reported_and_can_be_removed(
        self, tiny: Here, home: Path, spoil: str
    ) -> None:
        tiny("models", "add", "hello", "--generator", "tiny", "--name", "good")
        tiny("models", "add", "hello", "--generator", "tiny")
        record = home / "models" / "hello.json"
        if spoil == "half-written":
            record.unlink()
        elif spoil == "no folder":
            shutil.rmtree(home / "models" / "hello")
        else:
            record.write_text("{")
        listed = tiny("models", "list", "--json")
        assert listed.code == 0
        assert "good" in [model["name"] for model in listed.json("model")]
        if spoil == "spoilt record":
            assert listed.err.count("\n") == 1
            assert f"Warning: {record} cannot be read" in listed.err
            assert "`muniment models remove hello`" in listed.err
        if spoil == "half-written":
            assert [model["name"] for model in listed.json("model")] == ["good"]
            assert listed.err.startswith("Warning: model hello is half-written")
            assert "`muniment models remove hello`" in listed.err
        if spoil != "no folder":
            assert tiny("models", "show", "hello").code == 1
        assert "Error: " in tiny("models", "show", "hello").err
        assert tiny("models", "remove", "hello").code == 2
        assert tiny("models", "remove", "hello", "--yes").out == "removed hello\n"
        assert [row[0] for row in tiny("models", "list").rows] == ["good"]
        assert [path.name for path in (home / "models").glob("hello*")] == []

    def test_verify_hashes_loads_and_tests_again(self, tiny: Here, home: Path) -> None:
        for word in ("hello", "moon"):
            tiny("models", "add", word, "--generator", "tiny")
        digest = tiny("models", "show", "hello", "--json").json("model")[0]["digest"]
        (checked,) = tiny("models", "verify", "hello", "--json").json("model_check")
        assert (checked["name"], checked["digest"]) == ("hello", digest)
        assert checked["environment"]["note.source"] == "test"
        assert tiny("models", "verify", "hello").out == f"verified hello  {digest}\n"
        assert [line.split()[1] for line in tiny("models", "verify").lines] == ["hello", "moon"]
        assert tiny("models", "verify", "nothing").code == 2
        assert tiny("audit", "list").lines == []

        file = home / "models" / "hello" / "word.txt"
        times = file.stat()
        file.write_text("HELLO")
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        changed = tiny("models", "verify")
        assert changed.code == 4
        assert changed.err.startswith("Error: model hello was changed after it was added")
        assert [line.split()[1] for line in changed.lines] == ["moon"]

    def test_verify_of_a_model_that_does_not_load_is_one_sentence(self, tiny: Here) -> None:
        tiny("models", "add", "unloadable", "--generator", "tiny")
        result = tiny("models", "verify", "unloadable")
        assert result.code == 4
        assert "RuntimeError: not this word" in result.err
        assert len(result.err.splitlines()) == 1

    @pytest.mark.parametrize("isolate", [(), ("--isolate",)], ids=["in-process", "isolated"])
    def test_a_replay_tests_again_and_a_generation_uses_the_cache(
        self, tiny: Here, home: Path, isolate: tuple[str, ...]
    ) -> None:
        def source() -> list[str]:
            (shown,) = tiny("audit", "show", "last", "--json").json("generation")
            return [shown["environment"][name] for name in ("note.source", "cache")]

        tiny("models", "add", "hello", "--generator", "tiny")
        tiny("generate", "tiny", "oh", *isolate)
        was, folder = source()
        assert was == "test"
        assert tiny("audit", "replay", "last", *isolate).rows[0][0] == "exact"
        assert [path.name for path in (home / "cache").iterdir()] == [folder]
        tiny("generate", "tiny", "oh", *isolate)
        assert source() == ["cache", folder]
        assert tiny("audit", "replay", "last", *isolate).rows[0][0] == "exact"
        (shown,) = tiny("audit", "show", "last", "--json").json("generation")
        plugins = {item["distribution"]: item["digest"] for item in shown["plugins"]}
        assert folder == f"test-tiny-{plugins['test-tiny'].rpartition(':')[2]}"

    def test_a_replay_without_its_model_is_impossible(self, tiny: Here) -> None:
        tiny("models", "add", "hello", "--generator", "tiny")
        tiny("generate", "tiny", "oh")
        assert tiny("audit", "replay", "last").rows[0][0] == "exact"
        tiny("models", "remove", "hello", "--yes")
        result = tiny("audit", "replay", "last")
        assert result.code == 1
        assert result.rows[0][0] == "impossible"
        assert "no model here has the digest" in result.rows[0][2]

    @pytest.mark.parametrize(
        ("arguments", "code", "sentence"),
        [
            (["models", "show", "nothing"], 2, "no model named 'nothing'"),
            (["models", "remove", "nothing", "--yes"], 2, "no model named 'nothing'"),
            (["models", "add", "x", "--generator", "echo"], 2, "no model can be added to"),
            (["models", "add", "x", "--generator", "nobody"], 2, "no generator named 'nobody'"),
            (["models", "add", "missing", "--generator", "tiny"], 1, "weights of missing are not"),
            (["models", "add", "x", "--generator", "tiny", "--name", "a/b"], 1, "is not a valid"),
            (["generate", "tiny", "x"], 1, "use `muniment models add PATH_OR_ID --generator tiny`"),
            (["generate", "tiny", "x", "-m", "nothing"], 2, "no model named 'nothing'"),
            (["generate", "tiny", "x", "-m", "some/model"], 1, "some/model is not on this machine"),
        ],
    )
    def test_what_does_not_work_is_a_sentence(
        self, tiny: Here, arguments: list[str], code: int, sentence: str
    ) -> None:
        result = tiny(*arguments)
        assert result.code == code
        assert sentence in result.err
        assert result.err.count("\n") == 1
        assert result.out == ""

    def test_a_half_written_model_is_refused(self, tiny: Here, home: Path) -> None:
        (home / "models" / "half").mkdir(parents=True)
        for arguments in (["generate", "tiny", "x", "-m", "half"], ["models", "show", "half"]):
            result = tiny(*arguments)
            assert result.code == 1
            assert "model half is half-written" in result.err

    def test_a_model_that_changed_is_refused(self, tiny: Here, home: Path) -> None:
        tiny("models", "add", "hello", "--generator", "tiny")
        (home / "models" / "hello" / "word.txt").write_text("other")
        result = tiny("generate", "tiny", "x")
        assert result.code == 1
        assert "model hello was changed" in result.err


class TestPlugins:
    def test_list_reads_metadata_only(self, muniment: Here, plugin_folder: PluginFolder) -> None:
        plugin_folder.add("raise RuntimeError", distribution="test-broken")
        result = muniment("plugins", "list", "--json")
        assert (result.code, result.err) == (0, "")
        assert {value["state"] for value in result.json("plugin")} == {"enabled"}
        names = [value["distribution"] for value in result.json("plugin")]
        assert names == ["test-broken", "test-dots", "test-echo", "test-words"]
        assert [row[0] for row in muniment("plugins", "list").rows] == names

    def test_list_of_none_says_so(
        self, muniment: Here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr("muniment.plugins.discovery.installed_commands", list)
        monkeypatch.setattr("sys.prefix", str(tmp_path))
        (tmp_path / "pipx_metadata.json").touch()
        monkeypatch.setattr("muniment.plugins.discovery.installed_plugins", lambda: iter(()))
        result = muniment("plugins", "list")
        assert (result.code, result.out) == (0, "")
        assert "no plugin is installed" in result.err
        assert "`pipx inject muniment muniment-text`" in result.err


class TestPolicy:
    def test_show_of_a_file(self, muniment: Here, policy_file: Path) -> None:
        (value,) = muniment("policy", "show", policy_file, "--json").json("policy")
        assert (value["policy"], value["version"]) == ("team", "3")
        assert value["filters"] == [
            {
                "filter": "words",
                "stages": ["prompt", "output"],
                "mode": "enforce",
                "time_limit": 30.0,
                "thresholds": {},
                "parameters": {},
            }
        ]
        shown = muniment("policy", "show", policy_file)
        assert shown.err == f"policy team@3, source: {policy_file}\n"
        assert shown.out == policy_file.read_text()

    def test_show_names_a_filter_that_cannot_be_used(self, muniment: Here, tmp_path: Path) -> None:
        file = tmp_path / "lost.yaml"
        file.write_text("policy: p\nversion: '1'\nfilters: [{filter: lost}]\n")
        result = muniment("policy", "show", file)
        assert result.code == 1
        assert "filter lost cannot be used: no filter named 'lost'" in result.err
        result = muniment("policy", "show", file, "--json")
        assert "no filter named 'lost'" in result.json("policy")[0]["failures"][0]

    def test_show_names_each_rule_of_a_filter_that_cannot_be_used(
        self, muniment: Here, tmp_path: Path
    ) -> None:
        file = tmp_path / "lost.yaml"
        rules = "{filter: lost}, {filter: lost, name: secret-projects}"
        file.write_text(f"policy: p\nversion: '1'\nfilters: [{rules}]\n")
        first, second = muniment("policy", "show", file, "--json").json("policy")[0]["failures"]
        assert first.startswith("filters[0] (lost): ")
        assert second.startswith("filters[1] (secret-projects): ")
        errors = muniment("policy", "show", file).err.splitlines()[1:]
        assert [error.partition(": filter lost")[0] for error in errors] == [
            "Error: filters[0] (lost)",
            "Error: filters[1] (secret-projects)",
        ]

    def test_show_without_a_name_is_the_one_in_force(
        self, muniment: Here, policy_file: Path
    ) -> None:
        assert muniment("policy", "show", "--json").json("policy")[0]["policy"] == "none"
        assert "this policy has no filters" in muniment("policy", "show").err
        muniment("config", "set", "policy", str(policy_file))
        assert muniment("policy", "show", "--json").json("policy")[0]["policy"] == "team"
        assert muniment("generate", "echo", "a bomb").code == 3

    @pytest.mark.parametrize(
        ("document", "sentence"),
        [
            (
                "policy: p\nversion: '1'\nfilterz: []\n",
                "unknown field `filterz` (did you mean filters?)",
            ),
            ("policy: [\n", "is not valid YAML"),
            ("version: '1'\n", "add a name"),
            (
                "policy: p\nversion: '1'\nfilters: [{filter: words, stage: x}]\n",
                "filters[0]: object contains unknown field `stage` (did you mean stages?)",
            ),
            (
                "policy: p\nversion: '1'\nfilters: [{filter: words, parameters: {loud: 1}}]\n",
                "filters[0] (words): no parameter named 'loud'; available: none",
            ),
        ],
    )
    def test_a_malformed_file_stops_everything(
        self, muniment: Here, tmp_path: Path, document: str, sentence: str
    ) -> None:
        file = tmp_path / "p.yaml"
        file.write_text(document)
        for command in (["policy", "show", file], ["generate", "echo", "x", "--policy", file]):
            result = muniment(*command)
            assert result.code == 2
            assert result.err.startswith(f"Error: policy {file}: ")
            assert sentence in result.err
        assert muniment("audit", "list").code == 2  # nothing was recorded, not even a store


class TestConfig:
    def test_what_is_set_can_be_read_listed_and_removed(self, muniment: Here) -> None:
        assert muniment("config", "set", "generator.text", "echo").code == 0
        assert muniment("config", "get", "generator.text").out == "echo\n"
        assert muniment("config", "get", "generator.text", "--json").json("setting") == [
            {"key": "generator.text", "value": "echo"}
        ]
        assert ["generator.text", "echo"] in muniment("config", "list").rows
        listed = muniment("config", "list", "--json").json("setting")
        assert {"key": "generator.text", "value": "echo"} in listed
        assert muniment("config", "set", "generator.text", "").code == 0
        gone = muniment("config", "get", "generator.text")
        assert (gone.code, gone.out, gone.err) == (1, "", "generator.text is not set\n")
        assert (
            muniment("config", "get", "generator.text", "--json").json("setting")[0]["value"]
            is None
        )

    def test_what_can_be_set_is_listed(self, muniment: Here) -> None:
        keys = [row[0] for row in muniment("config", "list", "--known").rows]
        assert keys[:5] == ["generator.KIND", "model.GENERATOR", "policy", "evaluators", "actor"]
        assert "plugin.NAME.isolate" in keys
        assert muniment("config", "list", "--known", "--json").json("known_setting")

    @pytest.mark.parametrize("command", [["get", "modell"], ["set", "modell", "x"]])
    def test_an_unknown_key_is_refused(self, muniment: Here, command: list[str]) -> None:
        result = muniment("config", *command)
        assert result.code == 2
        assert "no setting 'modell'" in result.err

    def test_a_malformed_file_is_a_sentence(self, muniment: Here, home: Path) -> None:
        (home / "config.toml").write_text("model = [")
        for command in (["config", "list"], ["generate", "echo", "x"]):
            result = muniment(*command)
            assert result.code == 2
            assert "config.toml: cannot be read" in result.err

    @pytest.mark.parametrize(
        ("text", "key", "left"),
        [
            ('model = "gemma" # old\n', "model", ""),
            ("model = 5\n", "model", ""),
            ("\ufeffmodel = 5\n", "model", ""),
            ('[model]\nhf.x = 5\ntext = "a"\n', "model.hf.x", '[model]\ntext = "a"\n'),
            ('[old]\n"a b" = "x"\n', "old.a b", "[old]\n"),
            ("[plugin.Muniment_Text]\ntimeout = 0\n", "plugin.muniment-text.timeout", None),
            ('[[model]]\ntext = "x"\n', "model", ""),
        ],
    )
    def test_an_invalid_setting_stops_commands_and_can_be_removed(
        self, muniment: Here, home: Path, text: str, key: str, left: str | None
    ) -> None:
        file = home / "config.toml"
        for remove in (("unset", key), ("set", key, "")):
            file.write_text(text, encoding="utf-8")
            refused = muniment("config", "list")
            assert (refused.code, refused.err.count("\n")) == (2, 1)
            assert key in refused.err
            set_other = muniment("config", "set", "actor", "Ada")
            assert (set_other.code, 'actor = "Ada"' in file.read_text()) == (0, True)
            file.write_text(text, encoding="utf-8")
            assert muniment("config", *remove).code == 0
            assert muniment("config", "list").code == 0
            if left is not None:
                assert file.read_text(encoding="utf-8") == left

    def test_an_unknown_setting_names_the_command_that_removes_it(
        self, muniment: Here, home: Path
    ) -> None:
        (home / "config.toml").write_text('model = "gemma"\n')
        for command in (["generate", "echo", "x"], ["config", "get", "actor"], ["plugins", "list"]):
            refused = muniment(*command)
            assert (refused.code, "`muniment config unset 'model'`" in refused.err) == (2, True)
        refused = muniment("config", "set", "generator.text", "echo")
        assert (refused.code, "`muniment config unset 'model'`" in refused.err) == (2, True)
        assert muniment("config", "unset", "model").code == 0
        assert muniment("config", "set", "generator.text", "echo").code == 0
        unknown = muniment("config", "unset", "modell")
        assert (unknown.code, "no setting 'modell'" in unknown.err) == (2, True)

    def test_a_malformed_file_is_not_rewritten(self, muniment: Here, home: Path) -> None:
        file = home / "config.toml"
        for content in (b"model = [", b"actor = '\xff'"):
            file.write_bytes(content)
            for command in (["set", "actor", "Ada"], ["unset", "actor"]):
                refused = muniment("config", *command)
                assert (refused.code, "cannot be read" in refused.err) == (2, True)
            assert file.read_bytes() == content

    def test_a_plugins_setting_in_another_spelling_is_replaced(
        self, muniment: Here, home: Path
    ) -> None:
        file = home / "config.toml"
        file.write_text("[plugin.Muniment_Text]\ntimeout = 5\n")
        assert muniment("config", "set", "plugin.muniment.text.timeout", "7").code == 0
        assert muniment("config", "get", "plugin.muniment-text.timeout").out == "7\n"
        assert "timeout = 5" not in file.read_text()

    def test_settings_act(self, muniment: Here, plugin_folder: PluginFolder) -> None:
        plugin_folder.evaluator("length", "return {'value': float(len(generation.text))}")
        muniment("config", "set", "actor", "Ada")
        muniment("config", "set", "evaluators", "length")
        (value,) = muniment("generate", "echo", "hi", "--json").json("generation")
        assert value["actor"] == "Ada"
        assert [(score["name"], score["value"]) for score in value["scores"]] == [("value", 2.0)]

    def test_a_setting_of_a_plugin_that_is_not_there_says_so(self, muniment: Here) -> None:
        done = muniment("config", "set", "plugin.nobody.timeout", "2")
        assert done.code == 0
        assert "no installed plugin is named nobody" in done.err

    def test_config_set_policy_stores_an_absolute_path(
        self, muniment: Here, policy_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(policy_file.parent)
        assert muniment("config", "set", "policy", policy_file.name).code == 0
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert muniment("config", "get", "policy").out == f"{policy_file}\n"
        assert muniment("generate", "echo", "a bomb").code == 3
        assert muniment("config", "set", "policy", "none").code == 0
        assert muniment("config", "get", "policy").out == "none\n"

    def test_config_set_model_prints_the_stored_path_which_filters_find(
        self, tiny: Here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for name in ("mine", "elsewhere"):
            (tmp_path / name).mkdir()
        (tmp_path / "mine" / "word.txt").write_text("mine")
        monkeypatch.chdir(tmp_path)
        assert tiny("generate", "tiny", "one", "-m", "./mine").code == 0
        stored = tiny("config", "set", "model.tiny", "./elsewhere/../mine")
        assert (stored.code, stored.err) == (0, f"model.tiny is set to {tmp_path / 'mine'}\n")
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert tiny("generate", "tiny", "two").out == "two mine\n"
        monkeypatch.chdir(tmp_path)
        listed = tiny("audit", "list", "--model", "./mine", "--json").json("generation")
        assert [row["prompt"] for row in listed] == ["two", "one"]
        assert tiny("audit", "list", "--model", "./elsewhere").lines == []
        assert tiny("config", "unset", "model.tiny").err == "model.tiny is not set now\n"

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (("policy=none",), "run `muniment config set policy none`"),
            (("policy",), "`muniment config unset policy`"),
            (("plugin.test-echo.timeout", "-1"), "must be a number of seconds above 0, not '-1'"),
            (("test-echo.timeout", "3"), "did you mean plugin.NAME.timeout?"),
            (("actor", "--jsn"), "No such option '--jsn'"),
            (("--json", "actor", "bob"), "No such option '--json'"),
        ],
    )
    def test_config_set_wrong_arguments_are_one_sentence_with_a_remedy(
        self, muniment: Here, arguments: tuple[str, ...], sentence: str
    ) -> None:
        refused = muniment("config", "set", *arguments)
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert sentence in refused.err

    @pytest.mark.parametrize(
        ("key", "value", "sentence"),
        [
            ("policy", "nope", "no policy named 'nope' (did you mean none?)"),
            ("policy", "nope.yaml", "no policy named 'nope.yaml'; available: default, none"),
            ("policy", "bad.yaml", "unknown field `filterz`"),
            ("policy", "loud.yaml", "no parameter named 'loud'"),
            ("generator.text", "nope", "no generator named 'nope'; available: dots, echo"),
            ("generator.a.b", "echo", "no setting 'generator.a.b'"),
            ("model.nope", "x", "no generator named 'nope'; available: dots, echo"),
            ("model.echo", "x", "generator echo does not use a model"),
            ("evaluators", "length, nope", "no evaluator named 'nope'; available: length"),
            ("actor", "a" * 4000, "the actor's name has 4,000 characters; use at most 255"),
            ("actor", "a\nb", "the actor's name contains the control character"),
            ("plugin.test-echo.timeout", "soon", "must be a number of seconds above 0"),
            ("plugin.test-echo.memory", "1GB", "must be a whole number of megabytes above 0"),
            ("plugin.test-echo.enabled", "no", "must be true or false"),
        ],
    )
    def test_config_set_refuses_a_value_that_its_use_refuses(
        self,
        muniment: Here,
        plugin_folder: PluginFolder,
        home: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        key: str,
        value: str,
        sentence: str,
    ) -> None:
        plugin_folder.evaluator("length", "return {'value': float(len(generation.text))}")
        monkeypatch.chdir(tmp_path)
        Path("bad.yaml").write_text("policy: p\nversion: 1\nfilterz: []\n")
        rule = "[{filter: words, parameters: {loud: 1}}]"
        Path("loud.yaml").write_text(f"policy: p\nversion: 1\nfilters: {rule}\n")
        before = (home / "config.toml").read_text()
        refused = muniment("config", "set", key, value)
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert sentence in refused.err
        assert (home / "config.toml").read_text() == before

    def test_config_set_actor_repairs_an_actor_that_stops_commands(
        self, muniment: Here, home: Path
    ) -> None:
        settings = (home / "config.toml").read_text()
        (home / "config.toml").write_text(settings.replace("小明", "a" * 256))
        assert muniment("generate", "echo", "x").code == 2
        assert muniment("config", "set", "actor", "Ada").code == 0
        assert muniment("generate", "echo", "x").code == 0

    def test_config_file_that_is_a_folder_is_a_sentence(self, muniment: Here, home: Path) -> None:
        (home / "config.toml").unlink()
        (home / "config.toml").mkdir()
        for command in (["config", "list"], ["config", "set", "actor", "Ada"]):
            refused = muniment(*command)
            assert (refused.code, refused.err.count("\n")) == (2, 1)
            assert "is a folder; remove or rename it" in refused.err


class TestStore:
    def test_the_path_is_printed_as_it_is(self, muniment: Here, tmp_path: Path) -> None:
        store = tmp_path / "a%b 卫星?.db"
        assert muniment("db", "path", "--store", store).out == f"{store}\n"
        assert muniment("db", "upgrade", "--store", store).code == 0
        assert store.is_file()
        url = f"sqlite:///{tmp_path}/a%25b.db"
        assert muniment("db", "path", "--store", url).out == f"{tmp_path}/a%b.db\n"

    def test_path_makes_nothing(self, muniment: Here, home: Path) -> None:
        assert muniment("db", "path").out == f"{home / 'muniment.db'}\n"
        (value,) = muniment("db", "path", "--json").json("store_path")
        assert value["path"] == str(home / "muniment.db")
        assert value["url"] == f"sqlite:///{home / 'muniment.db'}"
        assert not (home / "muniment.db").exists()

    def test_upgrade_makes_the_store_and_status_shows_it(self, muniment: Here, home: Path) -> None:
        assert muniment("db", "status").code == 2
        assert muniment("db", "upgrade").code == 0
        (value,) = muniment("db", "status", "--json").json("store_status")
        assert value["current"] is True
        assert value["path"] == str(home / "muniment.db")
        assert "(current)" in muniment("db", "status").out
        assert muniment("db", "upgrade").code == 0

    def test_rebuild_says_how_many_rows_there_are(self, muniment: Here) -> None:
        assert muniment("db", "rebuild").code == 2
        assert muniment("generate", "echo", "hi").code == 0
        (value,) = muniment("db", "rebuild", "--json").json("rebuilt")
        assert value["generation"] == 1
        assert "generation\t1\n" in muniment("db", "rebuild").out
        assert muniment("audit", "verify", "--all").code == 0

    def test_the_store_can_be_elsewhere(
        self, muniment: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = tmp_path / "other.db"
        assert muniment("generate", "echo", "hi", "--store", other).code == 0
        assert len(muniment("--store", f"sqlite:///{other}", "audit", "list").lines) == 1
        monkeypatch.setenv("MUNIMENT_STORE", str(other))
        assert len(muniment("audit", "list").lines) == 1

    def test_a_store_of_a_newer_version_is_refused(self, muniment: Here, home: Path) -> None:
        assert muniment("generate", "echo", "hi").code == 0
        change(home, "UPDATE alembic_version SET version_num = '9999'")
        change(home, "CREATE TABLE newer (id INTEGER)")
        for command in (["audit", "list"], ["generate", "echo", "hi"], ["db", "upgrade"]):
            result = muniment(*command)
            assert result.code == 1
            assert "newer" in result.err
            assert result.err.count("\n") == 1

    @pytest.mark.parametrize(
        ("store", "sentence"),
        [
            ("{home}/config.toml/x.db", "cannot be"),
            ("{home}", "is a folder"),
            ("{home}/config.toml", "is not an SQLite database"),
        ],
    )
    def test_a_store_that_cannot_be_is_a_sentence(
        self, muniment: Here, home: Path, store: str, sentence: str
    ) -> None:
        result = muniment("generate", "echo", "hi", "--store", store.format(home=home))
        assert result.code == 1
        assert result.out == ""
        assert sentence in result.err
        assert result.err.count("\n") == 1

    @pytest.mark.parametrize(
        ("store", "sentence"),
        [
            ("nonsense://x", "neither an SQLite file nor a PostgreSQL database"),
            ("sqlite://", "has no file name"),
            (":memory:", "not the path of a file"),
            ("postgresql://u:s3cret@h:5432:5432/d", "is not the URL of a store"),
            ("sqlite:///s.db?mode=ro", "has options after the path"),
        ],
    )
    def test_an_address_that_is_no_store_is_a_mistake(
        self, muniment: Here, store: str, sentence: str
    ) -> None:
        for command in (("generate", "echo", "hi"), ("audit", "list"), ("db", "status")):
            result = muniment(*command, "--store", store)
            assert (result.code, result.out) == (2, "")
            assert sentence in result.err
            assert "s3cret" not in result.err
            assert result.err.count("\n") == 1

    def test_a_store_that_fails_to_write_is_a_sentence(
        self, muniment: Here, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert muniment("generate", "echo", "hi").code == 0
        # The row of a payload that the next entry will have stands in for an error of the disk.
        change(
            home,
            "INSERT INTO payload (entry, kind, position, salt, content) "
            "SELECT size, 'prompt', 0, x'00', x'00' FROM ledger_head",
        )
        result = muniment("generate", "echo", "hi")
        assert result.code == 1
        assert result.out == ""
        assert "muniment.db failed" in result.err
        assert result.err.count("\n") == 1


def change(home: Path, statement: str) -> None:
    database = sqlite3.connect(home / "muniment.db")
    with database:
        database.execute(statement)
    database.close()


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["audti"], "no command named 'audti'. Did you mean audit? Try 'muniment --help'."),
            (["audit", "lst"], "no command named 'lst'. Did you mean list?"),
            (["audit", "show"], "Missing argument 'ID'. Try 'muniment audit show --help'."),
            (["audit", "list", "--jsn"], "No such option '--jsn'. Did you mean '--json'? Try "),
            (["audit", "list", "--sinc"], "Did you mean '--since'? Try "),
            (["-v"], "Did you mean '-V'? Try "),
            (["audit", "list", "--rev"], "Did you mean '--reviewed'? Try "),
            (["audit", "list", "--isolate"], "No such option '--isolate'. Try "),
            (["--isolate", "generate", "x", "y"], "write it after `muniment generate NAME`"),
            (["generate", "--seed", "3", "x", "y"], "write it after `muniment generate NAME`"),
            (["shell", "text", "--version"], "write it after `muniment`"),
            (["--seed", "generate", "generate", "x"], "write it after `muniment generate NAME`"),
            (["--json", "audit", "list"], "write it after `muniment audit list`"),
            (["audit", "--tag", "list", "list"], "write it after `muniment audit list`"),
            (["audit", "list", "--version"], "write it after `muniment`"),
            (["audit", "--frobnicate", "list"], "No such option '--frobnicate'"),
            (["--frobnicate"], "No such option '--frobnicate'"),
            (["--home"], "Option '--home' requires an argument"),
            (["--home", "", "db", "path"], "the home is empty"),
            (["--store", "", "db", "path"], "the store is empty"),
            (["--actor", " ", "db", "path"], "the actor's name is empty"),
            (["db", "path", "--home="], "the home is empty"),
            (["generate", "echo", "hi", "--policy", ""], "the policy is empty"),
            (["generate", "echo", "hi", "--actor"], "Option '--actor' requires an argument. Try"),
            (["db", "path", "more"], "Got unexpected extra argument (more)"),
        ],
    )
    def test_a_mistyped_command_is_one_line(
        self, muniment: Here, arguments: list[str], sentence: str
    ) -> None:
        result = muniment(*arguments)
        assert result.code == 2
        assert sentence in result.err
        assert result.err.count("\n") == 1

    @pytest.mark.parametrize("arguments", [[], ["audit"], ["models"]])
    def test_no_command_is_answered_with_help(self, muniment: Here, arguments: list[str]) -> None:
        result = muniment(*arguments)
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith("Usage: muniment")

    def test_a_bug_is_a_sentence_and_can_be_looked_into(
        self, muniment: Here, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(self: object, limit: int | None = None) -> None:
            raise ZeroDivisionError("by zero")

        assert muniment("generate", "echo", "x").code == 0
        monkeypatch.setattr("muniment.store.Store.runs", broken)
        result = muniment("audit", "runs")
        assert result.code == 1
        assert result.err.count("\n") == 1
        assert "ZeroDivisionError: by zero" in result.err
        assert "MUNIMENT_TRACEBACK=1" in result.err
        monkeypatch.setenv("MUNIMENT_TRACEBACK", "1")
        with pytest.raises(ZeroDivisionError):
            muniment("audit", "runs")

    def test_a_full_disk_is_a_sentence(
        self, muniment: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        result = muniment("generate", "echo", "x", "-o", tmp_path / "out.txt")
        assert result.code == 1
        assert "out.txt: No space left on device" in result.err
        assert not list(tmp_path.glob("*.part"))
