"""Signing the record and handing out proofs of it: `keys`, `audit checkpoint`, `audit prove`."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from muniment import verifier
from muniment.ledger import checkpoints
from muniment.ledger.checkpoints import Checkpoint
from muniment.ledger.keys import PublicKey
from muniment.signing import KeyStore
from muniment.store import Store
from support.commands import Here
from support.databases import by_hand


@pytest.fixture
def key(muniment: Here) -> PublicKey:
    """The key of a new store."""
    return PublicKey.parse(muniment("keys", "generate").out)


def last_signed(home: Path) -> Checkpoint:
    """What was last signed, by what lies beside the key."""
    (path,) = (home / "keys").glob("*.json")
    signed = KeyStore(home).last_checkpoint(path.stem)
    assert signed is not None
    return signed.checkpoint


def entries(home: Path) -> int:
    with Store.open(f"sqlite:///{home}/muniment.db", create=False) as store:
        return store.status().entries


def copied(home: Path, name: str) -> Path:
    """A copy of the store as it is now; nobody has it open."""
    return Path(shutil.copytree(home, home.with_name(name)))


def rolled_back(home: Path, copy: Path) -> None:
    """Put the store's file back to what it was; what lies beside the key stays."""
    for file in home.glob("muniment.db*"):
        file.unlink()
    shutil.copy(copy / "muniment.db", home / "muniment.db")


# ---- keys -------------------------------------------------------------------------------------


def test_a_key_is_made_once_and_is_its_owner_s_alone(muniment: Here, home: Path) -> None:
    made = muniment("keys", "generate")
    public = PublicKey.parse(made.out)
    (private,) = (home / "keys").glob("*.key")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700
    assert "not encrypted" in made.err
    assert public.name == f"muniment/{private.stem}"
    before = private.read_bytes()
    again = muniment("keys", "generate")
    assert again.code == 2
    assert "never overwritten" in again.err
    assert "`muniment keys show`" in again.err
    assert private.read_bytes() == before


def test_the_private_key_is_never_printed(muniment: Here, home: Path) -> None:
    made = muniment("keys", "generate")
    (private,) = (home / "keys").glob("*.key")
    secret = private.read_text().strip().split("+", 4)[4]  # base64 can contain "+" too
    for result in (made, muniment("keys", "show"), muniment("keys", "show", "--json")):
        assert secret not in result.out + result.err


def test_show_prints_the_public_key_and_what_it_signed(muniment: Here, key: PublicKey) -> None:
    assert muniment("keys", "show").out == f"{key}\n"
    (shown,) = muniment("keys", "show", "--json").json("signing_key")
    assert shown["key"] == str(key)
    assert shown["checkpoint"]["size"] == 1


def test_without_a_key_each_command_says_how_to_make_one(muniment: Here) -> None:
    muniment("generate", "echo", "one")
    for command in (["keys", "show"], ["audit", "checkpoint"], ["audit", "prove", "last"]):
        result = muniment(*command)
        assert result.code == 1
        assert "run `muniment keys generate`" in result.err
        assert "sqlite:" not in result.err


@pytest.mark.skipif(os.name != "posix", reason="the modes of files are POSIX's")
def test_a_private_key_that_others_can_read_is_not_used(muniment: Here, home: Path) -> None:
    muniment("keys", "generate")
    (private,) = (home / "keys").glob("*.key")
    private.chmod(0o644)
    result = muniment("generate", "echo", "one")
    assert result.code == 1
    assert "is readable by others" in result.err
    assert entries(home) > 1  # what was generated is recorded nevertheless


# ---- signing ----------------------------------------------------------------------------------


def test_every_command_that_records_signs_all_of_it(
    muniment: Here, key: PublicKey, home: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"prompt": "最近"}\n{"prompt": "fail"}\n')
    for command in (["generate", "echo", "one"], ["batch", lines, "--generator", "echo"]):
        muniment(*command)
        assert last_signed(home).size == entries(home)
    signed = last_signed(home)
    muniment("audit", "list")
    muniment("audit", "show", "last")
    assert last_signed(home) == signed


def test_what_people_do_later_is_signed_too(muniment: Here, key: PublicKey, home: Path) -> None:
    muniment("generate", "echo", "one")
    for command in (
        ["feedback", "last", "--rating", "up"],
        ["audit", "replay", "last"],
        ["audit", "erase", "last", "--reason", "asked to", "--yes"],
        ["hold", "add", "last", "--reason", "案件"],
    ):
        before = entries(home)
        result = muniment(*command)
        assert entries(home) > before, (command, result.err)
        assert last_signed(home).size == entries(home), command


def test_a_store_that_was_rolled_back_is_not_signed(
    muniment: Here, key: PublicKey, home: Path
) -> None:
    muniment("generate", "echo", "one")
    before = copied(home, "before")
    muniment("generate", "echo", "two")
    signed = last_signed(home)
    rolled_back(home, before)
    result = muniment("audit", "checkpoint")
    assert result.code == 4
    assert "truncated or rolled back" in result.err
    for word in ("three", "four"):
        result = muniment("generate", "echo", word)
        assert result.code == 4
        assert f"the first {signed.size} entries differ" in result.err
    assert last_signed(home) == signed


def test_another_store_in_the_place_of_a_signed_one_is_noticed(
    muniment: Here, key: PublicKey, home: Path, tmp_path: Path
) -> None:
    muniment("generate", "echo", "one")
    other = tmp_path / "other.db"
    assert muniment("--store", other, "generate", "echo", "one").code == 0
    for file in home.glob("muniment.db*"):
        file.unlink()
    shutil.copy(other, home / "muniment.db")
    result = muniment("generate", "echo", "two")
    assert result.code == 4
    assert f"{key.name} was signed there" in result.err
    assert f"the store {home / 'muniment.db'} is log" in result.err


# ---- checkpoints ------------------------------------------------------------------------------


def test_checkpoint_prints_the_newest_head_as_a_signed_note(
    muniment: Here, key: PublicKey, home: Path
) -> None:
    muniment("generate", "echo", "one")
    printed = muniment("audit", "checkpoint").out
    assert checkpoints.parse_note(printed).verify(key) == last_signed(home)
    (value,) = muniment("audit", "checkpoint", "--json").json("checkpoint")
    assert value["note"] == printed
    assert value["size"] == entries(home)


def test_publishing_replaces_the_older_checkpoint(
    muniment: Here, key: PublicKey, home: Path, tmp_path: Path
) -> None:
    public = tmp_path / "checkpoint"
    muniment("audit", "checkpoint", "--publish", public)
    first = public.read_text()
    muniment("generate", "echo", "one")
    done = muniment("audit", "checkpoint", "--publish", public)
    assert done.code == 0
    assert not done.out
    assert public.read_text() != first
    assert checkpoints.parse_note(public.read_text()).verify(key).size == entries(home)


def test_what_contradicts_the_published_checkpoint_is_not_published(
    muniment: Here, key: PublicKey, home: Path, tmp_path: Path
) -> None:
    public = tmp_path / "checkpoint"
    muniment("generate", "echo", "one")
    before = copied(home, "before")
    muniment("generate", "echo", "two")
    muniment("audit", "checkpoint", "--publish", public)
    published = public.read_text()
    shutil.rmtree(home)
    shutil.copytree(before, home)  # the whole home, with what lies beside the key
    result = muniment("audit", "checkpoint", "--publish", public)
    assert result.code == 4
    assert "rolled back" in result.err
    muniment("generate", "echo", "three")
    muniment("generate", "echo", "four")
    result = muniment("audit", "checkpoint", "--publish", public)
    assert result.code == 4
    assert f"differ from those published in {public}" in result.err
    assert public.read_text() == published


def test_a_file_that_is_no_checkpoint_is_not_replaced(
    muniment: Here, key: PublicKey, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    result = muniment("audit", "checkpoint", "--publish", precious)
    assert result.code == 2
    assert "this is not a checkpoint" in result.err
    assert precious.read_text() == "mine"


# ---- proofs -----------------------------------------------------------------------------------


def test_a_proof_convinces_who_has_only_the_file_and_the_key(
    muniment: Here, key: PublicKey, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    muniment("generate", "echo", "最近 我国", "--seed", "7")
    proof = tmp_path / "proof.json"
    result = muniment("audit", "prove", "last", "-o", proof, "--disclose", "prompt,output")
    assert result.code == 0, result.err
    assert "2 payloads disclosed" in result.err
    assert verifier.main([str(proof), "--key", str(key)]) == 0
    said = capfd.readouterr().out
    assert "prompt is the text recorded in entry " in said
    assert "seed 7" in said


def test_a_proof_holds_nothing_that_was_said_unless_it_is_disclosed(
    muniment: Here, key: PublicKey
) -> None:
    muniment("generate", "echo", "canary", "--tag", "heron", "--actor", "小明")
    printed = muniment("audit", "prove", "last").out
    for word in ("canary", "heron", "小明"):
        assert word not in printed
    assert "canary" in muniment("audit", "prove", "last", "--disclose", "prompt").out


def test_a_proof_of_an_old_generation_still_holds_after_later_ones(
    muniment: Here, key: PublicKey, tmp_path: Path
) -> None:
    muniment("generate", "echo", "one")
    old, again, published = (tmp_path / name for name in ("old", "again", "checkpoint"))
    (generation,) = muniment("audit", "show", "last", "--json").json("generation")
    muniment("audit", "checkpoint", "--publish", published)
    muniment("audit", "prove", "last", "-o", old)
    for word in ("two", "three"):
        muniment("generate", "echo", word)
    muniment("audit", "prove", generation["id"], "-o", again)
    for proof in (old, again):
        assert verifier.main([str(proof), "--key", str(key)]) == 0
    assert json.loads(old.read_text())["checkpoint"] != json.loads(again.read_text())["checkpoint"]
    same = muniment("audit", "prove", generation["id"], "--checkpoint", published).out
    assert same == old.read_text()


def test_a_proof_still_holds_after_the_generation_was_erased(
    muniment: Here, key: PublicKey, tmp_path: Path
) -> None:
    muniment("generate", "echo", "one")
    before, after = tmp_path / "before", tmp_path / "after"
    muniment(
        "audit", "prove", "last", "-o", before, "--disclose", "prompt\N{FULLWIDTH COMMA} output"
    )
    erased = muniment("audit", "erase", "last", "--reason", "asked to", "--yes")
    assert erased.code == 0, erased.err
    assert muniment("audit", "prove", "last", "-o", after).code == 0
    for proof in (before, after):
        assert verifier.main([str(proof), "--key", str(key)]) == 0
    refused = muniment("audit", "prove", "last", "--disclose", "prompt")
    assert refused.code == 2
    assert "its prompt was erased" in refused.err


def test_what_a_checkpoint_does_not_cover_cannot_be_proven_by_it(
    muniment: Here, key: PublicKey, tmp_path: Path
) -> None:
    published = tmp_path / "checkpoint"
    muniment("audit", "checkpoint", "--publish", published)
    muniment("generate", "echo", "one")
    result = muniment("audit", "prove", "last", "--checkpoint", published)
    assert result.code == 2
    assert "recorded after the 1 entries of the checkpoint" in result.err


def test_a_checkpoint_with_a_false_signature_gives_no_proof(
    muniment: Here, key: PublicKey, tmp_path: Path
) -> None:
    muniment("generate", "echo", "one")
    published = tmp_path / "checkpoint"
    muniment("audit", "checkpoint", "--publish", published)
    text = published.read_text(encoding="utf-8")
    place = len(text) - 20
    letter = "A" if text[place] != "A" else "B"
    published.write_text(text[:place] + letter + text[place + 1 :], encoding="utf-8")
    result = muniment("audit", "prove", "last", "--checkpoint", published)
    assert (result.code, result.out) == (4, "")
    assert "wrong signature" in result.err


@pytest.mark.parametrize(
    ("kinds", "why"),
    [
        ("trace,detail", "it has no detail to disclose; disclose only its trace"),
        ("detail", "it has no detail to disclose"),
        ("promt", "(did you mean prompt?)"),
    ],
)
def test_what_is_not_there_cannot_be_disclosed(
    kinds: str, why: str, muniment: Here, key: PublicKey
) -> None:
    muniment("generate", "echo", "one")
    result = muniment("audit", "prove", "last", "--disclose", kinds)
    assert result.code == 2
    assert why in result.err


@pytest.mark.parametrize("empty", [False, True])
def test_a_missing_store_that_was_signed_is_reported_and_not_replaced(
    muniment: Here, home: Path, empty: bool
) -> None:
    assert muniment("keys", "generate").code == 0
    [checkpoint] = (home / "keys").glob("*.json")
    store = home / "muniment.db"
    for file in home.glob("muniment.db*"):
        file.unlink()
    if empty:
        store.touch()
    for arguments, code in [
        (("audit", "verify", "--all"), 4),
        (("audit", "list"), 1),
        (("generate", "text", "two"), 1),
        (("keys", "generate"), 1),
        (("db", "upgrade"), 1),
    ]:
        result = muniment(*arguments)
        assert result.code == code, arguments
        assert "entries were signed there" in result.err
        assert str(checkpoint) in result.err
        assert store.exists() == empty
    checkpoint.unlink()
    assert muniment("audit", "verify", "--all").code == 2
    assert muniment("db", "upgrade").code == 0


def test_a_proof_of_an_altered_text_is_refused_as_unverified(muniment: Here, home: Path) -> None:
    assert muniment("generate", "text", "one").code == 0
    assert muniment("keys", "generate").code == 0
    with by_hand(f"sqlite:///{home}/muniment.db") as connection:
        connection.exec_driver_sql("UPDATE payload SET content = x'00' WHERE kind = 'prompt'")
    result = muniment("audit", "prove", "last", "--disclose", "prompt")
    assert result.code == 4
    assert "prompt was changed" in result.err


def test_verifying_a_store_without_a_head_names_the_table(muniment: Here, home: Path) -> None:
    assert muniment("generate", "echo", "one").code == 0
    with by_hand(f"sqlite:///{home}/muniment.db") as connection:
        connection.exec_driver_sql("DELETE FROM ledger_head")
    result = muniment("audit", "verify", "--all")
    assert result.code == 4
    assert "ledger_head" in result.err
    assert "audit verify" not in result.err
