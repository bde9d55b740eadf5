"""The golden ledger: a small one that has every kind of entry, with something in every field.

`python tests/support/golden.py` writes its canonical bytes anew, which is right as long as no
release has made entries of the kind and version that changed. After that, a change is a new
version of the kind, and what is here of the old one stays.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from muniment.ledger import acts, entries, schema
from muniment.ledger.entries import Body
from muniment.ledger.payloads import Kind, Payload
from muniment.ledger.texts import detail_of, policy_of, request_of, trace_of
from muniment.ledger.tree import Frontier, leaf_hash
from muniment.types import (
    Failure,
    Generation,
    Model,
    Output,
    PluginRef,
    Reason,
    Score,
    Text,
    Trace,
    Usage,
    Verdict,
)

FOLDER = Path(__file__).parents[1] / "ledger" / "golden"

RUN = "01JQ" + "R" * 22
WORDS = PluginRef("muniment-words", "0.1", "tree1-sha256:" + "1f" * 32)
STRICT = PluginRef("muniment-strict", "2.0.1", "tree1-sha256:" + "2e" * 32)
DECLARED = {"strict": frozenset({"violence", "hate"})}
ENVIRONMENT: dict[str, str | int] = {"python": "3.11.7", "threads": 2, "memory": 2**60}

RICH = Generation(
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
        ),
        Verdict("block", {}, (), "slow", "0", "output", "block", "older", 10.0, "timed out"),
    ),
    scores=(
        Score("statistics", "0.1", "length", 3.0, "characters"),
        Score("perplexity", "0.1", "perplexity", None, "", False, "no trace"),
    ),
    usage=Usage(9, 2),
    trace=Trace((5, 6), (-0.5, -1.25), (0.125, float("inf"))),
    plugins=(WORDS, STRICT),
    environment=ENVIRONMENT,
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
        self.bodies: list[Body] = []
        self.payloads: dict[tuple[int, Kind, int], Payload] = {}

    def commit(self, kind: Kind, content: bytes, position: int = 0) -> str:
        """Return the commitment to a payload of the entry that is added next."""
        number = len(self.bodies)
        salt = sha256(f"{number} {kind} {position}".encode()).digest()
        held = Payload(kind, position, salt, content)
        self.payloads[number, kind, position] = held
        return held.commitment

    def add(self, body: Body) -> int:
        """Add an entry; return its number."""
        self.bodies.append(body)
        return len(self.bodies) - 1


def ledger() -> Ledger:
    """Build the golden ledger anew."""
    made = Ledger()

    def optional(kind: Kind, content: bytes | None) -> str | None:
        return None if content is None else made.commit(kind, content)

    made.add(entries.genesis("0123456789abcdef" * 2))
    actor = made.add(entries.actor(made.commit("actor", "安娜".encode())))
    document = policy_of("default", "rules: []\n")
    policy = made.add(entries.policy(made.commit("policy", document)))
    environment = made.add(entries.environment(ENVIRONMENT))
    plugins = {plugin: made.add(entries.plugin(plugin)) for plugin in (WORDS, STRICT)}

    def started(g: Generation, policy: int | None) -> int:
        return made.add(
            entries.started(
                g,
                actor=actor,
                policy=policy,
                plugins=[plugins[plugin] for plugin in g.plugins],
                prompt=made.commit("prompt", g.prompt.encode()),
                request=optional("request", request_of(g)),
            )
        )

    def outcome(g: Generation, started: int) -> int:
        return made.add(
            entries.outcome(
                g,
                started=started,
                declared=DECLARED,
                outputs=[made.commit("output", o.data, n) for n, o in enumerate(g.outputs)],
                trace=optional("trace", trace_of(g)),
                detail=optional("detail", detail_of(g, DECLARED, g.policy)),
                environment=environment if g.environment else None,
                plugins=[plugins[plugin] for plugin in g.plugins],
            )
        )

    rich, bare = started(RICH, policy), started(BARE, None)
    outcome(RICH, rich)
    outcome(BARE, bare)
    _acts(made, actor, rich, environment, plugins[STRICT])
    return made


def _acts(made: Ledger, actor: int, generation: int, environment: int, plugin: int) -> None:
    """Add the events of people on a generation, models and plugins."""
    at, hold = datetime(2026, 3, 2, 9, 30, tzinfo=UTC), "01JQ" + "H" * 22

    def text(kind: Kind, said: str) -> str:
        return made.commit(kind, said.encode())

    comment = text("comment", "说得好")
    made.add(acts.feedback(generation, at=at, actor=actor, rating="up", comment=comment))
    reason = text("reason", "it was a joke")
    made.add(acts.review(generation, at=at, actor=actor, decision="overturn", reason=reason))
    reason = text("reason", "案件 7")
    made.add(acts.hold(at=at, actor=actor, hold=hold, reason=reason, generations=[generation]))
    made.add(acts.release(at=at, actor=actor, hold=hold, reason=None))
    made.add(
        acts.replay(
            generation,
            at=at,
            actor=actor,
            result="diverged",
            environment=environment,
            plugins=[plugin],
            detail=text("replay", '{"detail":"token 2 differs","differences":[]}'),
        )
    )
    rule = {"payload": "trace", "decision": None, "least_days": 30, "most_days": 90}
    made.add(acts.retention(at=at, actor=actor, rules=[rule]))
    made.add(
        acts.installation(
            STRICT, at=at, actor=actor, act="upgraded", signer=sha256(b"a key").hexdigest()
        )
    )
    made.add(acts.installation(WORDS, at=at, actor=actor, act="removed", signer=None))
    model = text("model", '{"name":"tiny","source":"/模型/tiny"}')
    digest = "tree1-sha256:" + "ab" * 32
    made.add(acts.model(at=at, actor=actor, act="added", digest=digest, detail=model))
    reason = text("reason", "asked to")
    made.add(
        acts.erasure(
            at=at, actor=actor, cause="request", reason=reason, payloads={generation: ["request"]}
        )
    )


def main() -> None:
    made = ledger()
    lines = [schema.write(body) for body in made.bodies]
    frontier = Frontier()
    frontier.extend(map(leaf_hash, lines))
    payloads = [
        {
            "entry": number,
            "kind": kind,
            "position": position,
            "salt": held.salt.hex(),
            "content": held.content.hex(),
        }
        for (number, kind, position), held in made.payloads.items()
    ]
    (FOLDER / "entries_v1.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    (FOLDER / "payloads_v1.json").write_text(json.dumps(payloads, indent=1) + "\n")
    (FOLDER / "root_v1.txt").write_text(frontier.root().hex() + "\n")


if __name__ == "__main__":
    main()
