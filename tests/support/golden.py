"""The golden ledger: a small one that has every kind of entry, with something in every field.

`python tests/support/golden.py` writes the canonical bytes of the newest versions. That is right
as long as no release has made entries of a kind and version that changed. After that, a change is
a new version of the kind. The files of version 1 are never written again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from muniment.ledger import schema
from muniment.ledger.canonical import encode_number
from muniment.ledger.division import finish, plugin_fact, start
from muniment.ledger.entries import (
    ActorEntry,
    Entry,
    EnvironmentEntry,
    GenesisEntry,
    InputEntry,
    PluginEntry,
    PolicyEntry,
)
from muniment.ledger.events import (
    ErasureEntry,
    ExperimentEntry,
    FeedbackEntry,
    HoldEntry,
    InstallationEntry,
    ModelEntry,
    ReleaseEntry,
    ReplayEntry,
    RetentionEntry,
    ReviewEntry,
    ScoredEntry,
    TrainingEntry,
)
from muniment.ledger.facts import ErasedFact, RetentionFact, ScoreFact
from muniment.ledger.fields import milliseconds
from muniment.ledger.payload_texts import PolicyText, encode_text
from muniment.ledger.payloads import Kind, Payload, Payloads, selection_commitment
from muniment.ledger.tree import Frontier, leaf_hash
from muniment.types.experiments import Cell
from muniment.types.generations import Failure, Generation
from muniment.types.inputs import Input
from muniment.types.models import Model
from muniment.types.outputs import Output, SelectionCommitment, Text
from muniment.types.plugins import PluginRef
from muniment.types.replies import Trace, Usage
from muniment.types.scores import Score
from muniment.types.verdicts import Reason, Verdict

NEWEST = 2  # the version of the golden files that are written
FOLDER = Path(__file__).parents[1] / "ledger" / "golden"

RUN = "01JQ" + "R" * 22
RULES = "rules: []\n"  # the text of the policy
WORDS = PluginRef("muniment-words", "0.1", "tree1-sha256:" + "1f" * 32)
STRICT = PluginRef("muniment-strict", "2.0.1", "tree1-sha256:" + "2e" * 32)
DECLARED = {"strict": frozenset({"violence", "hate"})}
ENVIRONMENT: dict[str, str | int] = {"python": "3.11.7", "threads": 2, "memory": 2**60}

RICH_V1 = Generation(  # as version 1 recorded it
    id="01JQ0000000000000000000001",
    run_id=RUN,
    actor="安娜",
    status="blocked",
    generator="words",
    prompt="最近我国成功发射了新的卫星",
    seed=2**64 - 1,
    started_at=datetime(2026, 3, 1, 12, 0, 0, 123_000, UTC),
    finished_at=datetime(2026, 3, 1, 12, 0, 2, 5_000, UTC),
    system="be brief",
    model=Model("tiny", "tree1-sha256:" + "ab" * 32, "/models/tiny"),
    parameters={
        "big": 2**63,
        "cached": True,
        "joiner": "-",
        "ratio": 0.25,
        "small": 1e-07,
        "stop": ("\n", "。"),
        "times": 2,
        "top": None,
        "whole": 1.0,
    },
    policy="default",
    policy_digest=f"sha256:{sha256(RULES.encode()).hexdigest()}",
    tags=("news", "卫星"),
    parents=("01JQ0000000000000000000000",),
    line=3,
    outputs=(Text("好的。", "length"), Output("image/png", b"\x89PNG\x00\xff")),
    verdicts=(
        Verdict(
            "flag",
            {"violence": 0.5, "my own": 1.0},
            (Reason("my own", "it says so", 0, 2),),
            "strict",
            "2.0.1",
            "output",
            "flag",
            "default",
            1.25,
            policy_rule=1,
        ),
        Verdict("block", {}, (), "slow", "0", "output", "block", "older", 10.0, "timed out"),
    ),
    scores=(
        Score("statistics", "0.1", "length", 3.0, "characters", latency_ms=0.25),
        Score("perplexity", "0.1", "perplexity", None, "", False, "no trace"),
    ),
    usage=Usage(9, 2),
    trace=Trace((5, 6), (-0.5, -1.25), (0.125, float("inf"))),
    plugins=(WORDS, STRICT),
    environment=ENVIRONMENT,
)
_SALT = sha256(b"10 output 2").digest()  # which `Ledger.add` gives to the list
ADAPTER = "tree1-sha256:" + "cd" * 32
RICH = dataclasses.replace(
    RICH_V1,
    parameters={"adapter": "style", **RICH_V1.parameters},
    models={"adapter": Model("style", ADAPTER, "/models/style")},
    inputs=(
        Input("context", "text/plain", "一个文件\n".encode()),
        Input("init", "image/png", b"\x89PNG\x00\x01"),
    ),
    resolved_parameters=("joiner", "times"),
    resolved_inputs=("init",),
    cell=Cell(item=4, paraphrase=1, setting=0, replicate=2),
    outputs=(
        *RICH_V1.outputs[:1],
        dataclasses.replace(RICH_V1.outputs[1], fingerprint=b"\x00pixels"),
        Output(
            "application/json",
            b'["a","b","c"]',
            None,
            (2, 0),
            b"three items",
            wanted=2,
            selection=SelectionCommitment(_SALT, selection_commitment(_SALT, b'["c","a"]')),
        ),
    ),
    verdicts=(
        *RICH_V1.verdicts,
        Verdict("block", {"hate": 1.0}, (), "strict", "2.0.1", "item", "block", "default", item=2),
        Verdict("allow", {}, (), "strict", "2.0.1", "input", "allow", "default", input="context"),
        Verdict("allow", {}, (), "strict", "2.0.1", "prompt", parameter="joiner"),
    ),
    scores=(
        dataclasses.replace(
            RICH_V1.scores[0],
            evaluator='statistics(scorer=style, words="a b")',
            parameters={"limit": 3, "scorer": "style", "words": "a b"},
            models={"scorer": ADAPTER},
        ),
        *RICH_V1.scores[1:],
    ),
)
BARE = Generation(
    id="01JQ0000000000000000000002",
    run_id=RUN,
    actor="安娜",
    status="failed",
    generator="no such generator",
    prompt="",
    seed=0,
    started_at=datetime(2026, 3, 1, 12, 0, 3, tzinfo=UTC),
    finished_at=datetime(2026, 3, 1, 12, 0, 3, tzinfo=UTC),
    parameters={"made up": 5},
    failure=Failure("invalid", "no generator named 'no such generator'"),
)


class Ledger:
    """Entries in order, and their payloads with fixed salts by entry, kind and position."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.payloads: dict[tuple[int, str, int], Payload] = {}

    def add(self, entry: Entry, payloads: Sequence[Payload] = ()) -> int:
        """Add an entry, whose payloads get fixed salts. Return its number."""
        number = len(self.entries)
        commitments = {}
        for kind, position, _, content in payloads:
            salt = sha256(f"{number} {kind} {position}".encode()).digest()
            payload = Payload(kind, position, salt, content)
            self.payloads[number, kind, position] = payload
            commitments[kind, position] = payload.commitment
        for name, kind in schema.payload_fields(type(entry)).items():
            value: Any = getattr(entry, name)
            if isinstance(value, str):
                value = commitments[kind, 0]  # type: ignore[index]
            elif value:
                value = [
                    replace(item, content=commitments[kind, position])  # type: ignore[index]
                    for position, item in enumerate(value)
                ]
            entry = replace(entry, **{name: value})
        self.entries.append(entry)
        return number


def ledger() -> Ledger:
    """Build the golden ledger anew."""
    made = Ledger()
    made.add(GenesisEntry(log="0123456789abcdef" * 2))
    payloads = Payloads()
    actor = made.add(ActorEntry(name=payloads.add("actor", "安娜".encode())), payloads)
    payloads = Payloads()
    document = payloads.add("policy", encode_text(PolicyText("default", RULES)))
    policy = made.add(PolicyEntry(document=document), payloads)
    facts = {
        name: fact if isinstance(fact, str) else encode_number(fact)
        for name, fact in ENVIRONMENT.items()
    }
    environment = made.add(EnvironmentEntry(facts=facts))
    plugins = {
        plugin: made.add(PluginEntry(plugin=plugin_fact(plugin))) for plugin in (WORDS, STRICT)
    }
    inputs = {item.name: _add_input(made, item) for item in RICH.inputs}
    started = {}
    for g, of in ((RICH, policy), (BARE, None)):
        numbers = [plugins[plugin] for plugin in g.plugins]
        given = inputs if g.inputs else {}
        entry, texts = start(g, actor=actor, policy=of, plugins=numbers, inputs=given)
        started[g.id] = made.add(entry, texts)
    for g in (RICH, BARE):
        ended, texts = finish(
            g,
            started=started[g.id],
            declared=DECLARED,
            environment=environment if g.environment else None,
            plugins=[plugins[plugin] for plugin in g.plugins],
        )
        made.add(ended, texts)
    _add_events(made, actor, started[RICH.id], environment, plugins[STRICT])
    return made


def _add_input(made: Ledger, item: Input) -> int:
    payloads = Payloads()
    content = payloads.add("input", item.data)
    entry = InputEntry(media_type=item.media_type, bytes=len(item.data), content=content)
    return made.add(entry, payloads)


def _add_events(made: Ledger, actor: int, generation: int, environment: int, plugin: int) -> None:
    """Add the events of people on a generation, models and plugins."""
    at, hold = milliseconds(datetime(2026, 3, 2, 9, 30, tzinfo=UTC)), "01JQ" + "H" * 22
    by: dict[str, Any] = {"at": at, "actor": actor}
    about = by | {"generation": generation}
    payloads = Payloads()

    def text(kind: Kind, content: str) -> str:
        payloads.clear()
        return payloads.add(kind, content.encode())

    made.add(FeedbackEntry(**about, rating="up", comment=text("comment", "说得好")), payloads)
    made.add(FeedbackEntry(**about, rating=None, comment=None, action="click", item=3))
    reason = text("reason", "it was a joke")
    made.add(ReviewEntry(**about, decision="overturn", reason=reason), payloads)
    payloads.clear()
    made.add(
        ScoredEntry(
            **about,
            scores=[
                ScoreFact(
                    evaluator="chrf",
                    version="0.1",
                    name="chrf",
                    value="0.25",
                    unit="",
                    higher_is_better=True,
                    latency_us=1500,
                    failed=False,
                    models={"judge": ADAPTER},
                )
            ],
            siblings=[generation + 1],
            plugins=[plugin],
            detail=payloads.add("detail", b'{"scores":{"0":{"evaluator":"chrf(order=2)"}}}'),
            references=payloads.add("references", "卫星升空".encode()),
        ),
        payloads,
    )
    reason = text("reason", "案件 7")
    made.add(HoldEntry(**by, hold=hold, reason=reason, generations=[generation]), payloads)
    made.add(ReleaseEntry(**by, hold=hold, reason=None))
    detail = text("replay", '{"detail":"token 2 differs","differences":[]}')
    made.add(
        ReplayEntry(
            **about, result="diverged", environment=environment, plugins=[plugin], detail=detail
        ),
        payloads,
    )
    rule = RetentionFact(payload="trace", decision=None, least_days=30, most_days=90)
    made.add(RetentionEntry(**by, rules=[rule]))
    signer = sha256(b"a key").hexdigest()
    made.add(InstallationEntry(**by, act="upgraded", plugin=plugin_fact(STRICT), signer=signer))
    made.add(InstallationEntry(**by, act="removed", plugin=plugin_fact(WORDS), signer=None))
    detail = text("model", '{"name":"tiny","source":"/模型/tiny"}')
    digest = "tree1-sha256:" + "ab" * 32
    made.add(ModelEntry(**by, act="added", digest=digest, detail=detail), payloads)
    detail = text(
        "training",
        '{"other_counts":{"lines":12},"parameters":{"optimizer":"adam","rate":0.5},"losses":[2.5,"inf",1.25],'
        '"data_digest":"sha256:12","data_folder":"/图片","data_files":["猫.png"],"classes":["猫"],'
        '"environment":{"torch":"2.9"},"failure":null}',
    )
    made.add(
        TrainingEntry(
            **by,
            status="completed",
            claimed=False,
            base=ADAPTER,
            result=digest,
            counts={"examples": 100, "steps": 7},
            plugins=[plugin],
            detail=detail,
        ),
        payloads,
    )
    design = text("design", "items: [{id: 卫星, paraphrases: [最近我国成功发射了新的卫星]}]\n")
    numbers = {"items": 5, "paraphrases": 2, "settings": 1, "replicates": 3}
    made.add(ExperimentEntry(**by, run=RUN, **numbers, design=design), payloads)
    reason = text("reason", "asked to")
    erased = [ErasedFact(entry=generation, kinds=["request"])]
    made.add(ErasureEntry(**by, cause="request", reason=reason, payloads=erased), payloads)


def main() -> None:
    made = ledger()
    lines = [schema.encode(entry) for entry in made.entries]
    frontier = Frontier()
    frontier.extend(map(leaf_hash, lines))
    payloads = [
        {
            "entry": number,
            "kind": kind,
            "position": position,
            "salt": payload.salt.hex(),
            "content": payload.content.hex(),
        }
        for (number, kind, position), payload in made.payloads.items()
    ]
    (FOLDER / f"entries_v{NEWEST}.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    (FOLDER / f"payloads_v{NEWEST}.json").write_text(json.dumps(payloads, indent=1) + "\n")
    (FOLDER / f"root_v{NEWEST}.txt").write_text(frontier.root().hex() + "\n")


if __name__ == "__main__":
    main()
