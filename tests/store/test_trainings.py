"""Trainings of models in the store, on every database."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from muniment.errors import StoreError
from muniment.ledger.events import ModelEntry, TrainingEntry
from muniment.models.training import Training, check_training
from muniment.store import Rule, Store, plan_restore, restore
from muniment.store.recording.events import RecordedEvent
from muniment.store.recording.ledger import PreparedEntry
from muniment.types.models import Model
from muniment.types.plugins import PluginRef
from support.databases import ask, change
from support.programs import Programs, says

pytestmark = [pytest.mark.dialect, pytest.mark.usefixtures("programs")]

PLUGINS = [
    PluginRef("muniment", "0.1", "tree1-sha256:" + "1" * 64),
    PluginRef("muniment-image", "0.2", "tree1-sha256:" + "2" * 64),
]
CANARY = "trainingcanaryx"


def digest(mark: str) -> str:
    return "tree1-sha256:" + mark * 64


def recorded(
    store: Store, folder: Path, name: str = CANARY, **fields: Any
) -> RecordedEvent[TrainingEntry]:
    """Record the training of a model that is written here, with a name in each of its texts."""
    model = folder / f"model-{name}"
    model.mkdir()
    (model / "weights").write_text(name)
    training = Training(
        model=model,
        counts={"steps": 10},
        parameters={"optimizer": name, "rate": 0.5},
        losses=[1.0, 0.5],
        data_digest=name,
        data_folder=f"/data/{name}",
        data_files=[f"{name}.png"],
        classes=[name],
        environment={"torch": name},
        **fields,
    )
    return store.trainings.add("ada", check_training(training, {}), PLUGINS)


def claim(store: Store, folder: Path, result: str, base: str | None = None) -> PreparedEntry:
    """Return a training that a model with this digest claims."""
    training = Training(model=folder, base=base, counts={"steps": 1})
    (folder / "weights").write_text("weights")
    return store.trainings.claimed("ada", check_training(training, {}).claim, result)


def verified(store: Store) -> None:
    verification = store.verify(projections=True, payloads=True, search=True)
    assert verification.ok, verification.problems


def test_a_training_is_found_by_the_digest_of_its_model(store: Store, tmp_path: Path) -> None:
    event = recorded(store, tmp_path)
    result = str(event.entry.result)
    (again,) = store.trainings.of([result])
    assert again.entry == event.entry
    assert again.training == event.training
    assert list(again.plugins) == PLUGINS
    assert store.trainings.of([digest("0")]) == store.trainings.of([]) == []
    assert store.trainings.knows_model(result)
    assert not store.trainings.knows_model(digest("0"))
    row = "SELECT actor, kind, generation, key FROM v_event WHERE kind = 'training'"
    assert [tuple(row) for row in ask(store.url, row)] == [("ada", "training", None, result)]
    verified(store)


def test_a_model_that_a_parameter_named_is_known(store: Store, start: Callable[..., Any]) -> None:
    adapter = Model("a", digest("d"), "/a")
    started = start(models={"adapter": adapter}, parameters={"adapter": "a"})
    store.record_started([started], policy_document="")
    assert store.trainings.knows_model(digest("d"))
    assert not store.trainings.knows_model(digest("d")[:-1])
    assert not store.trainings.knows_model(digest("e"))


def test_all_trainings_of_a_digest_are_returned(store: Store, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    first, second = (recorded(store, folder) for folder in folders)
    assert first.entry.result == second.entry.result
    trainings = store.trainings.of([str(first.entry.result)])
    assert [event.number for event in trainings] == [first.number, second.number]


def test_a_rebuild_keeps_trainings(store: Store, tmp_path: Path) -> None:
    event = recorded(store, tmp_path)
    store.rebuild()
    assert [item.training for item in store.trainings.of([str(event.entry.result)])] == [
        event.training
    ]
    verified(store)


def test_a_restored_store_has_the_trainings_of_its_backup(
    store: Store, url: str, tmp_path: Path
) -> None:
    event = recorded(store, tmp_path)
    backup = store.backup(tmp_path / "copy")
    recorded(store, tmp_path, "later")
    restore(url, plan_restore(url, backup.file))
    with Store.open(url, create=False) as again:
        assert len(ask(url, "SELECT 1 FROM v_event WHERE kind = 'training'")) == 1
        assert again.trainings.of([str(event.entry.result)])[0].training == event.training
        verified(again)


def test_an_erased_training_is_in_no_file_of_the_store(store: Store, tmp_path: Path) -> None:
    event = recorded(store, tmp_path)
    result = store.erasures.erase_event(event.number, "keeper", reason="asked")
    assert not result.pending
    (erased,) = store.trainings.of([str(event.entry.result)])
    assert erased.texts.erased == {"training"}
    assert erased.training.losses is erased.training.data_files is None
    assert erased.entry.counts == {"steps": 10}
    assert list(store.search(CANARY)) == []
    if store.path is not None:
        for file in store.path.parent.iterdir():
            assert CANARY.encode() not in file.read_bytes()
    else:
        assert ask(store.url, "SELECT 1 FROM payload WHERE kind = 'training'") == []
    verified(store)
    store.rebuild()
    verified(store)


def test_retention_of_generations_keeps_trainings(store: Store, tmp_path: Path) -> None:
    event = recorded(store, tmp_path)
    store.retention.set_rule(Rule(most_days=0), "keeper")
    store.retention.run("keeper")
    assert store.trainings.of([str(event.entry.result)])[0].training == event.training


def test_an_altered_payload_is_found_and_not_shown(store: Store, tmp_path: Path) -> None:
    event = recorded(store, tmp_path)
    content = event.texts.get("training") or b""
    change(
        store.url,
        "UPDATE payload SET content = :content WHERE kind = 'training'",
        {"content": content.replace(b"0.5", b"0.1")},
    )
    (altered,) = store.trainings.of([str(event.entry.result)])
    assert altered.texts.altered == {"training"}
    assert altered.training.losses is None
    assert not store.verify(payloads=True).ok


def test_a_claim_is_recorded_with_its_model_and_only_once(store: Store, tmp_path: Path) -> None:
    for _ in range(2):
        training = claim(store, tmp_path, digest("a"), base=None)
        store.events.add_model("ada", "added", digest("a"), "m", "/m", training=training)
    assert len(store.events.with_key(ModelEntry, digest("a"))) == 2
    (event,) = store.trainings.of([digest("a")])
    assert (event.entry.claimed, event.plugins, event.entry.counts) == (True, (), {"steps": 1})
    verified(store)


def test_a_claim_does_not_join_a_recorded_training(store: Store, tmp_path: Path) -> None:
    event = recorded(store, tmp_path)
    result = str(event.entry.result)
    store.events.add_model(
        "ada", "added", result, "m", "/m", training=claim(store, tmp_path, result)
    )
    assert [item.entry.claimed for item in store.trainings.of([result])] == [False]


def test_a_model_and_its_claim_are_recorded_together_or_not_at_all(
    store: Store, tmp_path: Path
) -> None:
    training = claim(store, tmp_path, digest("a"))
    twice = PreparedEntry(
        training.entry, training.data, training.leaf, [*training.payloads, *training.payloads]
    )
    size = store.status().entries
    with pytest.raises(StoreError):
        store.events.add_model("ada", "added", digest("a"), "m", "/m", training=twice)
    assert store.status().entries == size
    assert store.events.with_key(ModelEntry, digest("a")) == []
    verified(store)


WRITER = """
import pathlib
from muniment.models.training import Training, check_training
folder = pathlib.Path(arguments[0])
with Store.open(url, create=False) as store:
    print("open", flush=True)
    for step in range(10**6):
        (folder / "weights").write_text(f"{arguments[1]} {step}")
        training = check_training(Training(model=folder, counts={"steps": step}), {})
        store.trainings.add("ada", training, PLUGINS)
        print(training.result, flush=True)
        claimed = f"tree1-sha256:{os.urandom(32).hex()}"
        claim = store.trainings.claimed("ada", training.claim, claimed)
        store.events.add_model("ada", "added", claimed, "m", "/m", training=claim)
        print(claimed, flush=True)
"""


def test_kills_lose_no_returned_training_and_separate_no_claim(
    store: Store, run: Programs, tmp_path: Path
) -> None:
    returned: list[str] = []
    chance = random.Random(7)
    for turn in range(3):
        (tmp_path / f"m{turn}").mkdir()
        writer = run(WRITER, tmp_path / f"m{turn}", turn)
        says(writer, "open")
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(1 + chance.randrange(6))]
        writer.send_signal(signal.SIGKILL)
        # `communicate` loses lines that `readline` has put into its buffer.
        lines += writer.stdout.read().splitlines(keepends=True)
        writer.wait()
        returned += [line.strip() for line in lines if line.endswith("\n")]
    assert len(returned) >= 3
    assert {event.entry.result for event in store.trainings.of(returned)} == set(returned)
    keys = "SELECT key FROM v_event WHERE kind = 'model'"
    claimed = [key for (key,) in ask(store.url, keys)]
    assert len(store.trainings.of(claimed)) == len(claimed)
    verified(store)


def test_a_chain_follows_base_models_and_ends_in_a_circle(store: Store, tmp_path: Path) -> None:
    for mark, base in (("a", "b"), ("b", "c"), ("c", "a")):
        (tmp_path / mark).mkdir()
        store.events.add_model("ada", "added", digest(base), base, "/m")
        store.events.add_model(
            *("ada", "added", digest(mark), mark, "/m"),
            training=claim(store, tmp_path / mark, digest(mark), digest(base)),
        )
    trainings = store.trainings.of([digest("a")])
    assert [event.entry.result for event in trainings] == [digest("a"), digest("b"), digest("c")]
