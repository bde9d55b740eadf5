"""Models: added once, whole or not at all, and known by the digest of their files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from muniment import Generator, Model, ModelError, PackagedModel
from muniment.errors import UnknownNameError
from muniment.hookspecs import ModelProvider
from muniment.models.digests import FileHashes, digest
from muniment.models.records import ModelRecord
from muniment.models.registry import Models
from support.models import ListedNotices

FILES = {"weights.bin": b"\x00\x01\x02", "vocab/words.txt": "最近".encode()}


class Keeper(Generator):
    """Adds a model of two files; `fault` goes wrong in the middle."""

    name, media_type, uses_model = "keeper", "text/plain", True

    def __init__(self, facts: Mapping[str, Any] | None = None) -> None:
        self.facts: Any = {"name": "tiny"} if facts is None else facts
        self.fault: BaseException | None = None

    def packaged_models(self) -> list[PackagedModel]:
        return []

    def generate(self, requests: object) -> list[Any]:
        return []

    def add_model(
        self, source: str, into: Path, progress: Callable[[str, float], None]
    ) -> Mapping[str, Any]:
        assert into.is_dir()
        assert not any(into.iterdir())
        progress("copying", 0.5)
        for name, data in FILES.items():
            (into / name).parent.mkdir(exist_ok=True)
            (into / name).write_bytes(data)
            if self.fault is not None:
                raise self.fault
        return self.facts  # type: ignore[no-any-return]

    def find_model(self, source: str) -> Path:
        if source == "hub/none":
            return None  # type: ignore[return-value]
        if source == "hub/raises":
            raise KeyError("offline")
        raise ModelError(source, f"{source} is not in the cache")


def models(home: Path) -> Models:
    return Models(home)


def add(home: Path, **options: Any) -> ModelRecord:
    return models(home).add("tiny.gguf", "keeper", Keeper(), **options)


def left(home: Path) -> list[str]:
    """Models in the folder, without the place of work, the lock and the defaults."""
    return sorted(path.name for path in (home / "models").iterdir() if path.name[0] != ".")


def test_an_added_model_is_listed_with_everything_known_of_it(home: Path) -> None:
    notices = ListedNotices()
    keeper = Keeper({"name": "tiny", "roles": {"weights": "weights.bin"}, "terms": "Be kind."})
    added = models(home).add("/somewhere/tiny.gguf", "keeper", keeper, notices=notices)
    assert models(home).added() == [added]
    assert models(home).get("tiny") == added
    assert msgspec.to_builtins(added) == {
        "name": "tiny",
        "digest": digest(models(home).path("tiny"), FileHashes()),
        "generator": "keeper",
        "source": "/somewhere/tiny.gguf",
        "added_at": added.added_at,
        "roles": {"weights": "weights.bin"},
        "terms": "Be kind.",
        "is_part": False,
    }
    assert models(home).files("tiny") == {name: len(data) for name, data in FILES.items()}
    assert notices.steps[0] == ("copying", 0.5)
    assert notices.steps[-1] == ("computing the digest", 1.0)
    assert left(home) == ["tiny", "tiny.json"]
    assert not any((home / "models" / ".adding").iterdir())


def test_the_name_given_wins_over_the_one_proposed_and_that_over_the_sources(home: Path) -> None:
    assert add(home, name="mine").name == "mine"
    assert add(home).name == "tiny"
    assert models(home).add("/a/b/tiny.gguf", "keeper", Keeper({})).name == "tiny.gguf"
    assert [model.name for model in models(home).added()] == ["mine", "tiny", "tiny.gguf"]


@pytest.mark.parametrize(
    "name", ["", "a b", "../x", ".hidden", "模 型", "a/b", "a.json", "x" * 500]
)
def test_an_odd_name_is_refused_before_any_work(home: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"is not a valid model name; .* --name"):
        add(home, name=name)
    assert not home.exists()


def test_an_odd_name_that_was_proposed_is_refused_and_nothing_is_left(home: Path) -> None:
    with pytest.raises(ModelError, match=r"'my model' is not a valid model name; .* --name"):
        models(home).add("x", "keeper", Keeper({"name": "my model"}))
    assert left(home) == []


@pytest.mark.parametrize("options", [{}, {"name": "tiny"}])
def test_a_taken_name_is_refused_and_the_first_model_stays(
    home: Path, options: dict[str, str]
) -> None:
    first = add(home)
    with pytest.raises(ModelError, match="a model named tiny exists already"):
        add(home, **options)
    assert models(home).resolve("tiny", Keeper()).digest == first.digest


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (ModelError("tiny", "no weights in it"), "^no weights in it$"),
        (OSError(28, "No space left on device"), "tiny.gguf cannot be added: OSError: .*No space"),
        (ValueError("bad magic"), "tiny.gguf cannot be added: ValueError: bad magic"),
        (SystemExit(2), "tiny.gguf cannot be added: SystemExit: 2"),
    ],
)
def test_what_goes_wrong_while_adding_is_one_error_and_leaves_nothing(
    home: Path, fault: BaseException, complaint: str
) -> None:
    keeper = Keeper()
    keeper.fault = fault
    with pytest.raises(ModelError, match=complaint):
        models(home).add("tiny.gguf", "keeper", keeper)
    assert left(home) == []
    assert not any((home / "models" / ".adding").iterdir())


def test_an_interruption_while_adding_leaves_nothing(home: Path) -> None:
    keeper = Keeper()
    keeper.fault = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        models(home).add("tiny.gguf", "keeper", keeper)
    assert left(home) == []


class Nothing(Keeper):
    """Returns None as its facts and as its packaged models."""

    def packaged_models(self) -> list[PackagedModel]:
        return None  # type: ignore[return-value]

    def add_model(
        self, source: str, into: Path, progress: Callable[[str, float], None]
    ) -> Mapping[str, Any]:
        return None  # type: ignore[return-value]


@pytest.mark.parametrize(
    "facts",
    [5, "tiny", {"name": 5}, {"name": "tiny", "roles": 5}, {"roles": {"a": object()}}, None],
)
def test_facts_that_are_none_are_one_error_and_leave_nothing_that_looks_whole(
    home: Path, facts: Any
) -> None:
    keeper = Nothing() if facts is None else Keeper(facts)
    with pytest.raises(ModelError, match=r"add_model\(\) of generator 'keeper' must return"):
        models(home).add("tiny", "keeper", keeper)
    assert models(home).added() == []


def test_no_folder_and_no_list_of_packaged_models_are_one_error(home: Path) -> None:
    with pytest.raises(ModelError, match=r"find_model\(\) of generator 'keeper' must return"):
        models(home).resolve("hub/none", Keeper())
    with pytest.raises(ModelError, match=r"packaged_models\(\) of generator 'keeper' must return"):
        models(home).choose("tiny", "keeper", Nothing())


def test_a_home_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot be added: "):
        add(tmp_path / "file")


# ---- half-written ------------------------------------------------------------------------------


def half_written(home: Path) -> None:
    (home / "models" / "tiny").mkdir(parents=True)
    (home / "models" / "tiny" / "weights.bin").write_bytes(b"\x00")


def test_a_half_written_model_is_never_used(home: Path) -> None:
    half_written(home)
    assert models(home).added() == []
    for use in (
        lambda: models(home).get("tiny"),
        lambda: models(home).resolve("tiny", Keeper()),
    ):
        with pytest.raises(ModelError, match=r"tiny is half-written.*add it again"):
            use()


def test_a_half_written_model_is_listed_apart(home: Path) -> None:
    assert models(home).half_written() == []
    add(home)
    assert models(home).half_written() == []
    (home / "models" / "tiny.json").rename(home / "models" / "tiny.json.lost")
    (home / "models" / ".adding" / "now").mkdir(parents=True)  # under way, and not a model yet
    (error,) = models(home).half_written()
    assert error.model == "tiny"
    assert str(error).startswith("model tiny is half-written")


def test_a_half_written_model_can_be_added_again_or_removed(home: Path) -> None:
    half_written(home)
    assert add(home).name == "tiny"
    assert models(home).files("tiny") == {name: len(data) for name, data in FILES.items()}
    (home / "models" / "tiny.json").unlink()
    models(home).remove("tiny")
    assert left(home) == []


@pytest.mark.parametrize("where", ["while the files are written", "when they stand in place"])
def test_a_kill_while_adding_leaves_nothing_that_looks_whole(home: Path, where: str) -> None:
    program = textwrap.dedent("""
        import os, pathlib, sys, time
        from muniment.models.registry import Models
        home, where = sys.argv[1:]
        def stop(*_, **__):
            print("now", flush=True)
            time.sleep(60)
        class Slow:
            def packaged_models(self): return []
            def add_model(self, source, into, progress):
                (into / "weights.bin").write_bytes(b"1")
                if where.startswith("while"):
                    stop()
                return {"name": "tiny"}
            def find_model(self, source): ...
        if where.startswith("when"):
            os.replace = stop  # the record, written last
        Models(pathlib.Path(home)).add("x", "slow", Slow())
    """)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(home), where], stdout=subprocess.PIPE
    ) as adding:
        assert adding.stdout is not None
        assert adding.stdout.readline() == b"now\n"
        adding.send_signal(signal.SIGKILL)
    assert models(home).added() == []
    with pytest.raises((ModelError, UnknownNameError)):
        models(home).resolve("tiny", Keeper())
    added = add(home)
    assert models(home).resolve("tiny", Keeper()).digest == added.digest


# ---- finding and resolving ---------------------------------------------------------------------


def test_an_added_model_is_resolved_by_name_with_the_digest_of_its_files(home: Path) -> None:
    added = add(home)
    assert models(home).resolve("tiny", Keeper()) == Model(
        "tiny", added.digest, str(home / "models" / "tiny")
    )


def test_changed_files_are_noticed_also_when_hashes_are_remembered(home: Path) -> None:
    add(home)
    time.sleep(0.2)
    models(home).resolve("tiny", Keeper())
    assert (home / "file-hashes.json").exists()
    (home / "models" / "tiny" / "weights.bin").write_bytes(b"\x00\x01\x03")
    with pytest.raises(ModelError, match="tiny was changed"):
        models(home).resolve("tiny", Keeper())


@pytest.mark.parametrize("extra", ["added.txt", "vocab/more.txt"])
def test_a_file_added_later_is_noticed(home: Path, extra: str) -> None:
    add(home)
    (home / "models" / "tiny" / extra).write_text("")
    with pytest.raises(ModelError, match="tiny was changed"):
        models(home).resolve("tiny", Keeper())


def test_a_folder_and_a_file_are_models_by_their_paths(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "模型 one"
    folder.mkdir()
    (folder / "w.bin").write_bytes(b"1")
    whole = Model(str(folder), digest(folder, FileHashes()), str(folder))
    assert models(home).resolve(str(folder), Keeper()) == whole
    file = models(home).resolve(str(folder / "w.bin"), Keeper())
    assert file.digest.startswith("file-sha256:")
    monkeypatch.chdir(tmp_path)
    assert models(home).resolve("模型 one", Keeper()).path == str(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert models(home).resolve("~/模型 one", Keeper()).path == str(folder)


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        *(("m", "m"), ("./m", "m"), ("m/", "m"), (".//m/", "m"), ("sub/../m", "m")),
        *(("link/../m", "link/../m"), ("~/m", "~/m"), ("~/./m/", "~/m"), ("./~", "./~")),
        *(("./e\u0301", "e\u0301"), ("./m/w.bin", "m/w.bin"), ("./ ", "./ ")),
    ],
)
def test_a_model_at_a_path_has_the_plain_form_of_the_path_as_its_name(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, name: str
) -> None:
    for folder in ("m", "sub", "elsewhere/inside", "elsewhere/m", "~", "e\u0301", " "):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "w.bin").write_bytes(folder.encode())
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "inside")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = models(home).resolve(reference, Keeper())
    assert (found.name, models(home).path_name(reference)) == (name, name)
    assert Path(found.path).is_absolute()
    assert Path(found.path).samefile(reference.replace("~/", f"{tmp_path}/"))


def test_an_absolute_path_is_a_name_only_as_it_was_written(home: Path, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "w.bin").write_bytes(b"1")
    assert models(home).resolve(f"{tmp_path}/./m/", Keeper()).name == str(tmp_path / "m")


def test_a_path_whose_plain_form_is_another_model_keeps_its_name(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(home)
    keeper = Keeper()
    monkeypatch.setattr(keeper, "packaged_models", lambda: [PackagedModel("packed", "packed")])
    (home / "models" / "half").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("tiny", "packed", "half"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "w.bin").write_bytes(b"1")
        found = models(home).resolve(f"./{name}", keeper)
        assert (found.name, found.path) == (f"./{name}", str(tmp_path / name))


@pytest.mark.parametrize(
    "reference", ["x" * 300, "./" + "x" * 300, "./a\0b", "./gone", "org/model"]
)
def test_a_reference_that_is_no_path_is_its_own_name(home: Path, reference: str) -> None:
    assert models(home).path_name(reference) == reference


def test_a_recorded_path_is_tried_before_its_name_which_can_be_a_hub_id(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hub" / "none").mkdir(parents=True)
    (tmp_path / "hub" / "none" / "w.bin").write_bytes(b"1")
    monkeypatch.chdir(tmp_path)
    recorded, keeper = models(home).resolve("./hub/none", Keeper()), Keeper()
    monkeypatch.chdir("/")
    monkeypatch.setattr(keeper, "find_model", lambda source: pytest.fail(source))
    assert models(home).with_digest(recorded.digest, recorded, keeper) == recorded


def test_an_added_model_wins_over_a_folder_of_the_same_name(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(home)
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    assert models(home).resolve("tiny", Keeper()).path == str(home / "models" / "tiny")


@pytest.mark.parametrize(
    "name", ["gone", "./gone", "/gone/away", "~nobody-at-all/x", "a\0b", "x" * 5000, "模型", " "]
)
def test_an_unknown_model_tells_the_known_ones(home: Path, name: str) -> None:
    add(home)
    with pytest.raises((UnknownNameError, ModelError)) as caught:
        models(home).resolve(name, object())
    assert "available: tiny; " in str(caught.value)


@pytest.mark.parametrize("path", ["./nothing/here", "../nothing/here", "~/nothing", "/nothing"])
def test_a_path_where_nothing_is_is_asked_of_no_generator(home: Path, path: str) -> None:
    with pytest.raises(UnknownNameError, match="this path does not exist"):
        models(home).resolve(path, Keeper())


def test_what_looks_like_a_hub_id_is_asked_of_the_generator(home: Path) -> None:
    with pytest.raises(ModelError, match=r"^org/model is not in the cache$"):
        models(home).resolve("org/model", Keeper())
    with pytest.raises(ModelError, match="hub/raises cannot be found: KeyError: 'offline'"):
        models(home).resolve("hub/raises", Keeper())
    with pytest.raises(UnknownNameError):
        models(home).resolve("org/model", object())


def test_without_a_name_the_only_model_is_meant(home: Path) -> None:
    with pytest.raises(ModelError, match="no model was added yet"):
        models(home).choose(None, "keeper", Keeper())
    add(home)
    assert models(home).choose(None, "keeper", Keeper()) == "tiny"
    add(home, name="other")
    assert models(home).choose(None, "keeper", Keeper()) == "tiny"


def test_the_error_without_a_model_names_the_command_of_the_generator(home: Path) -> None:
    class Fitted(Keeper):
        model_command = "muniment keeper fit"

    for generator, command in (
        (Keeper(), "muniment models add PATH_OR_ID"),
        (Fitted(), "keeper fit"),
    ):
        with pytest.raises(ModelError) as caught:
            models(home).choose(None, "keeper", generator)
        assert command in str(caught.value)


def test_a_model_that_is_a_part_is_never_the_default(home: Path) -> None:
    part = Keeper({"name": "adapter", "is_part": True})
    assert models(home).add("adapter", "keeper", part).is_part
    with pytest.raises(ModelError, match="no model was added yet"):
        models(home).choose(None, "keeper", Keeper())
    add(home)
    assert models(home).choose(None, "keeper", Keeper()) == "tiny"
    models(home).remove("tiny")
    with pytest.raises(ModelError, match="no model was added yet"):
        models(home).choose(None, "keeper", Keeper())


def test_a_folder_that_cannot_be_a_model_is_an_error(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "gone.bin").symlink_to("nowhere.bin")
    with pytest.raises(ModelError, match="cannot be read"):
        models(home).resolve(str(folder), Keeper())
    (folder / "gone.bin").unlink()
    (folder / "out").symlink_to("/etc/passwd")
    with pytest.raises(ModelError, match="leads out of the folder"):
        models(home).resolve(str(folder), Keeper())


# ---- removing ----------------------------------------------------------------------------------


def test_a_removed_model_is_gone_and_its_name_is_free(home: Path) -> None:
    add(home)
    models(home).remove("tiny")
    assert left(home) == []
    with pytest.raises(UnknownNameError):
        models(home).resolve("tiny", Keeper())
    assert add(home).name == "tiny"


@pytest.mark.parametrize("name", ["gone", "../models", "", ".adding", "/etc"])
def test_what_was_never_added_cannot_be_removed(home: Path, name: str) -> None:
    add(home)
    with pytest.raises(UnknownNameError, match="available: tiny"):
        models(home).remove(name)
    assert left(home) == ["tiny", "tiny.json"]


@pytest.mark.parametrize(
    ("source", "keeper"),
    [("tiny", Keeper({"name": "tiny"})), ("/models/tiny", Keeper({})), ("org/tiny", Keeper({}))],
)
def test_a_name_that_the_source_gives_away_is_refused_before_any_work(
    home: Path, source: str, keeper: Keeper
) -> None:
    add(home)
    notices = ListedNotices()
    with pytest.raises(ModelError, match="a model named tiny exists already"):
        models(home).add(source, "keeper", keeper, notices=notices)
    assert notices.steps == []


def test_a_model_whose_folder_is_gone_or_a_link_is_removed(home: Path, tmp_path: Path) -> None:
    add(home)
    shutil.rmtree(home / "models" / "tiny")
    with pytest.raises(ModelError, match=r"files of model tiny cannot be read.*models remove"):
        models(home).files("tiny")
    models(home).remove("tiny")
    assert left(home) == []
    (tmp_path / "elsewhere").mkdir()
    (home / "models" / "tiny").symlink_to(tmp_path / "elsewhere")
    models(home).remove("tiny")
    assert left(home) == []
    assert (tmp_path / "elsewhere").is_dir()


def test_a_spoilt_record_hides_no_other_model(home: Path) -> None:
    kept = add(home)
    (home / "models" / "bad.json").write_text("[]")
    spoilt: list[ModelError] = []
    assert models(home).added(spoilt.append) == [kept]
    assert [error.model for error in spoilt] == ["bad"]
    with pytest.raises(UnknownNameError, match="available: tiny"):
        models(home).get("nothing")
    found = models(home).with_digest(kept.digest, Model("gone", kept.digest, ""), Keeper())
    assert found is not None
    assert found.name == "tiny"


def test_a_spoilt_record_is_named_and_can_be_removed(home: Path) -> None:
    add(home)
    record = home / "models" / "tiny.json"
    record.write_text("{")
    with pytest.raises(ModelError, match=r"tiny\.json cannot be read"):
        models(home).added()
    models(home).remove("tiny")
    assert left(home) == []


# ---- by digest ---------------------------------------------------------------------------------


def test_a_model_is_found_by_digest_under_any_name(home: Path) -> None:
    first = models(home).resolve(add(home).name, Keeper())
    models(home).remove("tiny")
    add(home, name="renamed")
    found = models(home).with_digest(first.digest, first, Keeper())
    assert found is not None
    assert (found.name, found.digest) == ("renamed", first.digest)


def test_a_model_whose_files_changed_has_its_old_digest_no_more(home: Path) -> None:
    first = models(home).resolve(add(home).name, Keeper())
    os.utime(home / "models" / "tiny" / "weights.bin", (1, 1))
    assert models(home).with_digest(first.digest, first, Keeper()) == first
    (home / "models" / "tiny" / "weights.bin").write_bytes(b"other")
    assert models(home).with_digest(first.digest, first, Keeper()) is None


def test_looking_by_digest_does_not_hash_the_current_folder(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    here = digest(tmp_path / "here", FileHashes())
    assert models(home).with_digest(here, Model("", here, ""), Keeper()) is None


def test_the_keeper_is_a_generator_that_takes_models() -> None:
    assert isinstance(Keeper(), ModelProvider)
    assert not isinstance(object(), ModelProvider)
