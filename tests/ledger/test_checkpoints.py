"""Signed notes and checkpoints, against published vectors and against what others might alter."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, strategies as st

from muniment.ledger.checkpoints import (
    Checkpoint,
    CheckpointFormatError,
    SignatureError,
    origin,
    parse_note,
    sign_checkpoint,
)
from muniment.ledger.keys import KeyFormatError, PrivateKey, PublicKey

# The example of C2SP signed-note, and the key pair and message of Go's note package.
FOO = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_SIGNATURE = (
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
)
PETER_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PETER_PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SAID = (
    b"If you think cryptography is the answer to your problem,\n"
    b"then you don't know what your problem is.\n"
)
PETER_SIGNATURE = (
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)
# The example of C2SP tlog-checkpoint.
SOFA = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/"
    "Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
KEY = PrivateKey(origin("ab" * 16), bytes(range(32)))
CHECKPOINT = Checkpoint(KEY.name, 1204, bytes(range(32)))
NOTE = str(sign_checkpoint(CHECKPOINT, KEY))


def test_the_published_public_key_verifies_the_published_signature() -> None:
    key = PublicKey.parse(FOO)
    signature = base64.b64decode(FOO_SIGNATURE)
    assert str(key) == FOO
    assert signature[:4] == key.id
    assert key.verify(signature[4:], b"This is an example message.\n")
    assert not key.verify(signature[4:], b"This is another message.\n")


def test_the_published_private_key_makes_the_published_signature() -> None:
    key = PrivateKey.parse(PETER_PRIVATE)
    assert key.text == PETER_PRIVATE
    assert str(key.public) == PETER_PUBLIC
    assert base64.b64encode(key.public.id + key.sign(PETER_SAID)).decode() == PETER_SIGNATURE


def test_the_published_checkpoint_is_read() -> None:
    note = parse_note(SOFA)
    assert note.checkpoint.origin == "example.com/behind-the-sofa"
    assert note.checkpoint.size == 20852163
    assert note.checkpoint.root.hex()[:8] == "0ac5186a"
    assert str(note) == SOFA
    assert note.signatures[0].name == "example.com/behind-the-sofa"


def test_a_signed_checkpoint_is_opened_by_its_key() -> None:
    assert parse_note(NOTE).verify(KEY.public) == CHECKPOINT
    assert parse_note(NOTE).verify(PublicKey.parse(f" {KEY.public}\n")) == CHECKPOINT


def test_signatures_of_others_are_passed_over() -> None:
    witness = PrivateKey.generate("witness.example/w1")
    line = base64.b64encode(witness.public.id + b"a timestamp and a signature").decode()
    note = parse_note(f"{NOTE}— {witness.name} {line}\n")
    assert note.verify(KEY.public) == CHECKPOINT
    assert len(note.signatures) == 2


def test_another_key_of_the_same_name_opens_nothing() -> None:
    other = PrivateKey.generate(KEY.name)
    with pytest.raises(SignatureError, match=r"is not signed by the key muniment/.*, but by"):
        parse_note(NOTE).verify(other.public)


def test_a_checkpoint_of_another_log_is_refused_even_under_a_good_signature() -> None:
    note = sign_checkpoint(Checkpoint(origin("cd" * 16), 3, b"r" * 32), KEY)
    with pytest.raises(SignatureError, match="belongs to the log muniment/cdcd"):
        note.verify(KEY.public)


@given(st.data())
def test_no_character_of_a_checkpoint_can_be_changed(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(NOTE) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda c: c != NOTE[place]))
    changed = NOTE[:place] + other + NOTE[place + 1 :]
    with pytest.raises((CheckpointFormatError, SignatureError)):
        parse_note(changed).verify(KEY.public)


@pytest.mark.parametrize(
    ("note", "why"),
    [
        ("", "it needs an origin"),
        (NOTE[: NOTE.index("—")], "it needs an origin"),
        (NOTE[:-1], "it needs an origin"),
        (NOTE.replace("\n", "\r\n"), "it needs an origin"),
        (NOTE.replace("1204", "01204"), "it needs an origin"),
        (NOTE.replace("1204", "-1"), "it needs an origin"),
        (NOTE.replace("1204", "1" * 20), "it needs an origin"),
        (NOTE.replace("1204\n", ""), "it needs an origin"),
        (NOTE.replace("1204\n", "1204\nAAAA\n"), "its root is not a hash"),
        (
            NOTE.replace("Hh8=\n", "Hh9=\n"),
            "not base64 in its canonical",
        ),  # the same bytes, spelled otherwise
        (NOTE.replace("— ", "- "), "it needs an origin"),
        (NOTE + "more\n", "it needs an origin"),
        (NOTE + "x" * 2**20, "it needs an origin"),
    ],
)
def test_what_is_no_checkpoint_is_refused_with_a_reason(note: str, why: str) -> None:
    with pytest.raises(CheckpointFormatError, match=why):
        parse_note(note)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000",
        FOO[:-1],
        FOO.replace("530d", "530D"),
        FOO.replace("+Ae", "+Be"),
        FOO.replace("kyeR", "kyeS"),
        FOO.replace("foo", "bar"),
        FOO.replace("foo", "f oo"),
        PETER_PRIVATE,
    ],
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(KeyFormatError):
        PublicKey.parse(text)


@pytest.mark.parametrize("text", ["", FOO, PETER_PRIVATE[:-1], PETER_PRIVATE.replace("AYE", "AYF")])
def test_what_is_no_private_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(KeyFormatError) as caught:
        PrivateKey.parse(text)
    assert "KFALVFGyNhPJEMzD1QIDr" not in str(caught.value)


def test_a_private_key_does_not_show_its_secret_by_accident() -> None:
    shown = f"{KEY!r} {KEY}"
    assert KEY.secret.hex() not in shown
    assert repr(KEY.secret) not in shown


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u3000b", "a\nb"])
def test_a_key_has_a_name_without_spaces_and_plus_signs(name: str) -> None:
    with pytest.raises(KeyFormatError, match="cannot name a key"):
        PrivateKey.generate(name)
