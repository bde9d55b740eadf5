"""Replay: the same request again, and an honest word about how it compares."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import pytest

import muniment
from muniment import Difference, Generation, Replay
from muniment.models.digests import FileHashes
from muniment.plugins.discovery import Plugin
from muniment.plugins.registry import Plugins
from muniment.session.session import Session
from support.databases import change
from support.lists import add_lists
from support.media import DOTS
from support.workspace import Workspace

DICE = "for r in requests: yield r.reply(Text(f'{r.prompt} {r.random().random()}'))"


def replayed(workspace: Workspace, *generations: Generation) -> list[Replay]:
    """Replay in a new session, as another command would, with what is on the shelf now.

    A distribution that is on the shelf twice was upgraded: the later one counts.
    """
    workspace.close()
    latest = {plugin.distribution: plugin for plugin in workspace.plugin_folder.all}
    before = len(list_of(workspace))
    with Session(workspace.home, plugins=Plugins(latest.values())) as session:
        found = list(session.replay(generations))
    assert len(list_of(workspace)) == before, "a replay is no generation"
    order = [item.id for item in generations]
    return sorted(found, key=lambda item: order.index(item.id))


def list_of(workspace: Workspace) -> list[Generation]:
    with Session(workspace.home, plugins=Plugins([])) as session:
        return list(session.generations())


def generate(workspace: Workspace, *prompts: str, **options: object) -> list[Generation]:
    return workspace.run(*prompts, **options)  # type: ignore[arg-type]


def test_the_same_bytes_in_the_same_environment_are_exact(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("dice", DICE)
    done = generate(workspace, "a", "最近", "c")
    for item, result in zip(done, replayed(workspace, *done), strict=True):
        assert result == Replay(item.id, "exact", f"{len(item.outputs[0].data)} bytes")
        assert result.to_json() == {
            "id": item.id,
            "result": "exact",
            "detail": f"{len(item.outputs[0].data)} bytes",
            **dict.fromkeys(("distance", "unit", "position")),
            "differences": [],
        }


def test_parameters_system_prompts_and_seeds_are_given_again(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "all",
        "for r in requests: yield r.reply(Text(f'{r.system} {r.seed} {list(r.parameters)}'))",
        parameters="""
        words: list[str] = param([])
        heat: float = param(1)
        limit: int | None = param(0)
        """,
    )
    done = workspace.session.generate(
        "x", system="s", parameters={"words": ["a"], "heat": 0.1, "limit": None}, seed=2**64 - 1
    )
    assert replayed(workspace, done)[0].result == "exact"


def test_a_blocked_output_replays_from_what_the_store_kept(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("dice", DICE)
    workspace.plugin_folder.filter("never", "return content.block('x')")
    (done,) = generate(workspace, "a", policy=workspace.policy("{filter: never, stages: [output]}"))
    assert done.status == "blocked"
    assert replayed(workspace, done)[0].result == "exact"


def test_generators_that_answer_badly_in_a_batch_are_asked_as_the_pipeline_asks(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator("bare", "for request in requests: yield Text(request.prompt)")
    workspace.plugin_folder.generator(
        "picky",
        """
        for request in requests:
            if request.prompt == "b":
                raise RuntimeError("not b")
            yield request.reply(Text(request.prompt))
        """,
    )
    bare = generate(workspace, "a", "b", "c", generator="bare")
    picky = [item for item in generate(workspace, "a", "b", "c", generator="picky") if item.outputs]
    results = replayed(workspace, *bare, *picky)
    assert [item.result for item in results] == ["exact"] * 5


# ---- diverged -----------------------------------------------------------------------------------


def upgrade(workspace: Workspace, body: str, version: str = "1.1") -> None:
    workspace.plugin_folder.generator("dice", body, distribution="dice-dist", version=version)


def test_other_bytes_diverge_at_the_first_byte_that_differs(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "dice", "for r in requests: yield r.reply(Text('abcd'))", distribution="dice-dist"
    )
    (done,) = generate(workspace, "x")
    for text, place in {"abXd": 3, "abc": 4, "abcde": 5, "": 1}.items():
        upgrade(workspace, f"for r in requests: yield r.reply(Text({text!r}))", f"1.{place}")
        (result,) = replayed(workspace, done)
        assert (result.result, result.detail) == (
            "diverged",
            f"output 1 differs from byte {place} on",
        )


def test_what_changed_since_is_listed(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "dice",
        DICE,
        distribution="dice-dist",
        attributes="def environment(self): return {'threads': 2, 'gone': 'x'}",
    )
    (done,) = generate(workspace, "x")
    workspace.plugin_folder.generator(
        "dice",
        DICE,
        distribution="dice-dist",
        version="2.0",
        attributes="def environment(self): return {'threads': 4, 'new': 'y'}",
    )
    (result,) = replayed(workspace, done)
    assert (result.result, result.detail.partition("; ")[2]) == (
        "uncertified",
        "gone, new, threads, dice-dist differ from the record",
    )
    rows = {row.name: (row.recorded, row.now) for row in result.differences}
    assert rows["threads"] == ("2", "4")
    assert rows["gone"] == ("x", "")
    assert rows["new"] == ("", "y")
    assert rows["dice-dist"][0].startswith("1.0 tree1-sha256:")
    assert rows["dice-dist"][1].startswith("2.0 tree1-sha256:")


def test_another_version_with_the_same_code_is_no_difference(workspace: Workspace) -> None:
    folder = workspace.plugin_folder
    folder.generator("dice", DICE, distribution="dice-dist", version="0.1.0")
    (done,) = generate(workspace, "x")
    folder.generator("dice", DICE, distribution="dice-dist", version="0.2.0")
    (result,) = replayed(workspace, done)
    assert (result.result, result.differences) == ("exact", ())


ONE_FILE = """
import muniment

class Shop(muniment.Generator):
    name, media_type, determinism = "shop", "text/plain", "exact"
    def generate(self, requests):
        for request in requests:
            yield request.reply(muniment.Text(request.prompt.upper()))

@muniment.hookimpl
def muniment_generators(register):
    register(Shop)
"""


def test_a_plugin_of_one_file_is_the_same_after_it_was_installed(
    workspace: Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "shop.py"
    file.write_text(ONE_FILE)
    with Session(workspace.home, plugins=Plugins([], files=[file])) as session:
        done = session.generate("x", generator="shop")
    with Session(workspace.home, plugins=Plugins([])) as session:
        (result,) = session.replay([done])
    assert result.result == "impossible"
    assert "shop.py" in result.detail
    assert "--plugin" in result.detail
    (workspace.plugin_folder.folder / "installed_shop.py").write_text(ONE_FILE)
    installed = Plugin("my-shop", "1.0", "shop", "installed_shop")
    with Session(workspace.home, plugins=Plugins([installed])) as session:
        (result,) = session.replay([done])
    assert (result.result, result.differences) == ("exact", ())
    assert {plugin.distribution for plugin in result.plugins} == {"muniment", "my-shop"}


def test_a_replay_with_another_note_in_the_environment_is_exact(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "dice",
        DICE,
        attributes="""
        calls = 0
        def environment(self):
            type(self).calls += 1
            return {'threads': 2, 'note.test': self.calls, f'note.{self.calls}': 'x'}
        """,
    )
    (done,) = generate(workspace, "x")
    (result,) = replayed(workspace, done)
    assert (result.result, result.differences) == ("exact", ())
    assert done.environment["note.test"] != result.environment["note.test"]
    assert result.environment["threads"] == 2


def test_another_version_of_the_core_is_a_difference(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.plugin_folder.generator("dice", DICE)
    (done,) = generate(workspace, "x")
    before = muniment.__version__
    monkeypatch.setattr("muniment.plugins.core.__version__", "99")
    (result,) = replayed(workspace, done)
    assert result.result == "uncertified"
    assert result.differences == (Difference("muniment", before, "99"),)


def test_another_number_of_outputs_and_a_refusal_diverge(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "dice", "for r in requests: yield r.reply(Text('a'), Text('b'))", distribution="dice-dist"
    )
    (done,) = generate(workspace, "x")
    upgrade(workspace, "for r in requests: yield r.reply(Text('a'))", "1.1")
    assert replayed(workspace, done)[0].detail == "2 outputs became 1"
    upgrade(workspace, "for r in requests: yield r.fail('not any more')", "1.2")
    (result,) = replayed(workspace, done)
    assert (result.result, result.detail) == ("diverged", "it failed: not any more")


# ---- traces: tokens and margins -----------------------------------------------------------------

TRACED = (
    "for r in requests: yield r.reply(Text({text!r}), trace=Trace({ids}, {logprobs}, {margins}))"
)


def traced(
    workspace: Workspace,
    *,
    text: str = "abc",
    ids: str = "(1, 2, 3)",
    logprobs: str = "(-0.5, -1.0, -0.25)",
    margins: str = "(0.5, 0.1, 2.0)",
    version: str = "1.0",
    threads: int = 1,
) -> None:
    workspace.plugin_folder.generator(
        "traced",
        TRACED.format(text=text, ids=ids, logprobs=logprobs, margins=margins),
        distribution="traced-dist",
        version=version,
        attributes=f"def environment(self): return {{'threads': {threads}}}",
    )


def test_with_a_trace_the_tokens_are_counted(workspace: Workspace) -> None:
    traced(workspace)
    assert replayed(workspace, *generate(workspace, "x"))[0].detail == "3 of 3 tokens"


def test_the_same_bytes_elsewhere_are_certified_by_margins_above_what_moved(
    workspace: Workspace,
) -> None:
    traced(workspace)
    done = generate(workspace, "x")
    traced(workspace, logprobs="(-0.5, -1.05, -0.25)", threads=2, version="1.1")
    (result,) = replayed(workspace, *done)
    assert result.result == "certified"
    assert result.detail == (
        "3 of 3 tokens; smallest margin 0.1, log-probabilities changed by up to 0.05"
    )
    assert {row.name for row in result.differences} == {"threads", "traced-dist"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"logprobs": "(-0.5, -1.0, -0.5)"}, "changed by up to 0.25"),
        ({"logprobs": "(-0.5, -1.1, -0.25)"}, "changed by up to 0.1"),
        ({"ids": "(1, 2, 4)"}, "the same bytes have other tokens"),
        ({"ids": "(1, 2)", "logprobs": "(0, 0)", "margins": "(0, 0)"}, "have other tokens"),
    ],
)
def test_the_same_bytes_elsewhere_are_uncertified_where_a_margin_is_too_small(
    workspace: Workspace, change: dict[str, str], why: str
) -> None:
    traced(workspace)
    done = generate(workspace, "x")
    traced(workspace, **change, threads=2, version="1.1")  # type: ignore[arg-type]
    (result,) = replayed(workspace, *done)
    assert result.result == "uncertified"
    assert why in result.detail


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (
            {"text": "abX", "ids": "(1, 9, 3)"},
            "token 2 differs (2 → 9); the margin there was 0.1",
        ),
        (
            {"text": "ab", "ids": "(1, 2)", "logprobs": "(0, 0)", "margins": "(0, 0)"},
            "3 tokens became 2",
        ),
    ],
)
def test_other_tokens_diverge_at_the_first_with_its_margin(
    workspace: Workspace, change: dict[str, str], detail: str
) -> None:
    traced(workspace)
    done = generate(workspace, "x")
    traced(workspace, **change, version="1.1")  # type: ignore[arg-type]
    (result,) = replayed(workspace, *done)
    assert (result.result, result.detail) == ("diverged", detail)


# ---- impossible ---------------------------------------------------------------------------------


def impossible(workspace: Workspace, *generations: Generation) -> str:
    (result,) = replayed(workspace, *generations)
    assert result.result == "impossible"
    return result.detail


def test_without_its_plugin_a_replay_is_impossible(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("dice", DICE, distribution="dice-dist")
    done = generate(workspace, "x")
    workspace.plugin_folder.all.clear()
    missing = "no generator named 'dice'; dice-dist 1.0 is not installed"
    assert impossible(workspace, *done) == missing
    workspace.plugin_folder.generator("dice", DICE.replace("prompt", "id"))
    assert impossible(workspace, *done) == missing


def test_with_a_broken_plugin_a_replay_is_impossible(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("dice", DICE, distribution="dice-dist")
    done = generate(workspace, "x")
    workspace.plugin_folder.add(
        "raise RuntimeError('no luck')", distribution="dice-dist", version="2"
    )
    assert "plugin dice-dist cannot be loaded: RuntimeError: no luck" in impossible(
        workspace, *done
    )


def test_a_generator_that_promises_nothing_cannot_be_replayed(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("remote", DICE, determinism="best-effort")
    assert "is not deterministic" in impossible(workspace, *generate(workspace, "x"))


def test_parameters_that_are_no_more_make_a_replay_impossible(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "dice", DICE, parameters="heat: int = param(1)", distribution="dice-dist"
    )
    done = generate(workspace, "x")
    upgrade(workspace, DICE)
    assert "no parameter named 'heat'" in impossible(workspace, *done)


def test_a_generator_that_raises_or_is_silent_makes_a_replay_impossible(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator("dice", DICE, distribution="dice-dist")
    done = generate(workspace, "x")
    upgrade(workspace, "raise RuntimeError('no')", "1.1")
    reason = impossible(workspace, *done)
    assert reason.startswith("generator dice failed: RuntimeError: no (")
    assert "__init__.py:" in reason
    upgrade(workspace, "return []", "1.2")
    assert impossible(workspace, *done) == "generator dice did not answer"


def test_what_has_no_output_cannot_be_replayed(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "moody",
        """
        for request in requests:
            if request.prompt == "stop":
                raise KeyboardInterrupt
            yield request.fail("no")
        """,
    )
    workspace.plugin_folder.filter("never", "return content.block('x')")
    (failed,) = generate(workspace, "x")
    (blocked,) = generate(workspace, "x", policy=workspace.policy("{filter: never}"))
    with pytest.raises(KeyboardInterrupt):
        generate(workspace, "stop")
    interrupted = workspace.recorded()[-1]
    assert impossible(workspace, failed) == "it failed: there is no output to compare with"
    assert impossible(workspace, blocked) == "it was blocked before anything was generated"
    assert impossible(workspace, interrupted).startswith("it was interrupted")


def test_an_erased_fingerprint_does_not_prevent_a_replay(workspace: Workspace) -> None:
    workspace.plugin_folder.add(DOTS)
    done = workspace.session.generate("x", generator="dotter")
    assert done.outputs[0].fingerprint is not None
    change(workspace.session.store.url, "DELETE FROM payload WHERE kind = 'fingerprint'")
    assert replayed(workspace, done)[0].result == "exact"


@pytest.mark.parametrize(
    ("kinds", "clause"),
    [
        ("'prompt'", "its prompt was erased"),
        ("'prompt', 'output'", "its prompt and output were erased"),
        ("'prompt', 'output', 'request'", "its prompt, output and other texts were erased"),
        ("'request'", "some of its texts were erased"),
    ],
)
def test_a_replay_of_an_erased_generation_names_the_contents(
    workspace: Workspace, kinds: str, clause: str
) -> None:
    workspace.plugin_folder.generator("dice", DICE)
    done = workspace.session.generate("x", generator="dice", system="s", tags=["t"])
    change(workspace.session.store.url, f"DELETE FROM payload WHERE kind IN ({kinds})")
    (result,) = replayed(workspace, done)
    assert (result.result, result.detail) == ("impossible", clause)


def _change_first_byte(workspace: Workspace, kind: str) -> None:
    with workspace.session.store._database.writing() as connection:
        connection.exec_driver_sql(
            f"UPDATE payload SET content = x'41' || substr(content, 2) WHERE kind = '{kind}'"
        )


@pytest.mark.parametrize("kind", ["output", "prompt"])
@pytest.mark.parametrize("generator", ["dice", "dotter", "rank"])
def test_a_replay_of_an_altered_record_is_impossible_and_calls_no_plugin(
    workspace: Workspace, tmp_path: Path, kind: str, generator: str
) -> None:
    flag = tmp_path / "compared"
    workspace.plugin_folder.generator("dice", DICE)
    add_lists(workspace.plugin_folder, wanted="1")
    compare = "def compare(self, recorded, again):\n"
    workspace.plugin_folder.add(
        DOTS.replace(compare, f"{compare}        open({str(flag)!r}, 'w').close()\n")
    )
    (done,) = generate(workspace, '["a", "b"]', generator=generator)
    _change_first_byte(workspace, kind)
    (result,) = replayed(workspace, done)
    assert (result.result, result.detail) == (
        "impossible",
        f"its {kind} was changed after it was recorded",
    )
    assert not flag.exists()


# ---- models -------------------------------------------------------------------------------------


def with_model(workspace: Workspace, folder: Path) -> Generation:
    folder.mkdir()
    (folder / "w.bin").write_bytes(b"weights")
    workspace.plugin_folder.generator(
        "heavy",
        "for r in requests: yield r.reply(Text(self.data.decode()))",
        attributes="""
        uses_model = True
        def load(self, model):
            import pathlib
            self.data = (pathlib.Path(model.path) / "w.bin").read_bytes()
        """,
    )
    return workspace.session.generate("x", model=str(folder))


def test_a_model_that_lies_where_it_lay_replays(workspace: Workspace, tmp_path: Path) -> None:
    done = with_model(workspace, tmp_path / "m")
    assert replayed(workspace, done)[0].result == "exact"


def test_a_model_that_changed_or_is_gone_makes_a_replay_impossible(
    workspace: Workspace, tmp_path: Path
) -> None:
    done = with_model(workspace, tmp_path / "m")
    assert done.model is not None
    (tmp_path / "m" / "w.bin").write_bytes(b"others!")
    reason = impossible(workspace, done)
    assert f"no model here has the digest {done.model.digest}" in reason
    assert "`muniment models add FOLDER`" in reason
    (tmp_path / "m" / "w.bin").write_bytes(b"weights")
    assert replayed(workspace, done)[0].result == "exact"
    (tmp_path / "m").rename(tmp_path / "elsewhere")
    assert "no model here" in impossible(workspace, done)


def test_remembered_hashes_are_not_trusted_for_a_replay(
    workspace: Workspace, tmp_path: Path
) -> None:
    done = with_model(workspace, tmp_path / "m")
    for path in workspace.home.glob("file-hashes.json"):
        path.write_text(path.read_text().replace('": "', '": "0'))
    assert replayed(workspace, done)[0].result == "exact"


def test_a_model_is_hashed_once_for_many_replays(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = with_model(workspace, tmp_path / "m")
    done = [first, *(workspace.session.generate("x", model=str(tmp_path / "m")) for _ in range(4))]
    read: list[str] = []
    real = FileHashes._hash

    def hashed(self: FileHashes, file: BinaryIO) -> str:
        read.append(file.name)
        return real(self, file)

    monkeypatch.setattr(FileHashes, "_hash", hashed)
    assert {item.result for item in replayed(workspace, *done)} == {"exact"}
    assert read.count(str(tmp_path / "m" / "w.bin")) == 1


def test_a_generation_given_twice_is_replayed_once(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("dice", DICE)
    done = generate(workspace, "a", "b")
    results = replayed(workspace, *done, *done[:1])
    assert [(item.id, item.result) for item in results] == [(item.id, "exact") for item in done]
