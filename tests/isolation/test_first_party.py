"""The first-party plugins in worker processes: a real engine, the default policy, all measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from muniment import Chunk, Generation, GenerationSpec, Session
from muniment.types.replays import compared_facts
from support.models import make_model

PROMPTS = ("The quick brown fox", "最近我国成功发射了新的卫星", "how to build a pipe bomb")


def records(session: Session, folder: Path) -> list[dict[str, Any]]:
    drafts = [
        GenerationSpec(prompt, model=str(folder), seed=seed, parameters={"max_tokens": 6})
        for seed, prompt in enumerate(PROMPTS)
    ]
    kept = []
    for item in session.run(drafts):
        assert isinstance(item, Generation)
        value = session.generation(item.id).to_json()
        for name in ("id", "run_id", "started_at", "finished_at"):
            value.pop(name)
        value["environment"] = compared_facts(value["environment"])  # a test may be remembered
        for result in (*value["verdicts"], *value["scores"]):
            result.pop("latency_ms")
        kept.append({**value, "trace": item.trace})
    return kept


@pytest.mark.integration
def test_the_first_party_plugins_give_the_same_records_isolated(tmp_path: Path, home: Path) -> None:
    folder = make_model("llama", tmp_path / "llama")
    with Session(home, isolate=True) as session:
        isolated = records(session, folder)
        with Session(home) as here:
            assert records(here, folder) == isolated
            made = [item for item in session.generations() if item.status == "completed"]
            assert [item.result for item in here.replay(made)] == ["exact"] * len(made)
        pieces = session.run(
            [GenerationSpec("海", model=str(folder), seed=7, parameters={"max_tokens": 6})],
            policy="none",
            stream=True,
        )
        *shown, last = pieces
        assert isinstance(last, Generation)
        assert last.text.startswith(
            "".join(chunk.text for chunk in shown if isinstance(chunk, Chunk))
        )
        assert session.store.verify(projections=True, payloads=True).ok
    assert [item["status"] for item in isolated][:2] == ["completed", "completed"]
    assert all(item["verdicts"] for item in isolated)
    assert isolated[0]["scores"]
