"""Fill a store with many generations, using the functions that record real ones.

The frequencies of the words follow Zipf's law. A third of the texts are Chinese. Everything is
drawn from one seed, so that two stores of the same size have the same content.
"""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from muniment.ids import new_id
from muniment.store import Store
from muniment.types.generations import Generation
from muniment.types.models import Model
from muniment.types.outputs import Text
from muniment.types.plugins import PluginRef
from muniment.types.replies import Usage
from muniment.types.scores import Score
from muniment.types.verdicts import Reason, Verdict

CHUNK = 256
WORDS = 60  # default length of an output
PLUGINS = (PluginRef("muniment-text", "0.1", "tree1-sha256:" + "1" * 64),)
MODELS = tuple(
    Model(name, "tree1-sha256:" + digit * 64, f"/models/{name}")
    for name, digit in (("gemma-3-270m", "a"), ("tiny", "b"), ("large", "c"))
)
START = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = Path(__file__).parent / "texts"
RARE = "zyzzyva"  # in one generation of ten thousand
NEWS = "最近我国成功发射了新的卫星"  # the prompt of one generation in five hundred
DECLARED = {"blocklist": frozenset({"violence"}), "patterns": frozenset({"email"})}


class Texts:
    """A source of texts, with English words by rank and parts of real Chinese sentences."""

    def __init__(self, source: random.Random) -> None:
        """Read the words."""
        self._random = source
        english = (TEXTS / "english.txt").read_text().lower().split()
        common = list(dict.fromkeys(word.strip(".,;:!?\"'()") for word in english))
        letters = "abcdefghijklmnopqrstuvwxyz"
        made = ["".join(source.choices(letters, k=source.randint(4, 9))) for _ in range(30_000)]
        self._words = ["the", "of", "and", *common, *made]
        self._weights = list(itertools.accumulate(1 / (n + 3) for n in range(len(self._words))))
        self._chinese = (TEXTS / "chinese.txt").read_text().replace("\n", "")

    def english(self, words: int) -> str:
        """Return a text of `words` words."""
        return " ".join(self._random.choices(self._words, cum_weights=self._weights, k=words))

    def chinese(self, characters: int) -> str:
        """Return about `characters` characters, in parts as long as a sentence."""
        starts = (self._random.randrange(len(self._chinese) - 16) for _ in range(characters // 12))
        return "".join(self._chinese[start : start + 12] for start in starts)


def generations(seed: int, words: int) -> Iterator[tuple[Generation, Generation]]:
    """Yield endless generations, each as started and as ended, with outputs of `words` words.

    One in ten thousand has the actor `rare-actor` and one the tag `rare`. One in ten is made by
    `images`, one in fifty is blocked, one in a hundred failed.
    """
    source = random.Random(seed)
    texts = Texts(source)
    pool = [
        (texts.chinese(20), texts.chinese(words))
        if n % 3 == 0
        else (texts.english(12), texts.english(words))
        for n in range(4000)
    ]
    run = new_id()
    for number in itertools.count():
        if number % CHUNK == 0:
            run = new_id()
        prompt, said = source.choice(pool)
        if number % 500 == 7:
            prompt = NEWS
        if number % 10_000 == 77:
            prompt += f" {RARE}"
        blocked, failed = number % 50 == 3, number % 100 == 9
        at = START + timedelta(seconds=number)
        tags = ["nightly"] * (number % 10 == 0) + ["rare"] * (number % 10_000 == 5)
        started = Generation(
            id=new_id(),
            run_id=run,
            actor="rare-actor" if number % 10_000 == 50 else f"actor-{number % 20}",
            status="started",
            generator="images" if number % 10 == 1 else "text",
            prompt=prompt,
            seed=source.getrandbits(64),
            started_at=at,
            model=MODELS[0 if number % 7 else (1 if number % 49 else 2)],
            parameters={"temperature": 1.0, "max_tokens": 64, "top_k": 40},
            policy="default",
            tags=tuple(tags),
            plugins=PLUGINS,
        )
        reasons = (Reason("violence", "the word knife"),) if blocked else ()
        found = {reason.category: 1.0 for reason in reasons}
        decision = "block" if blocked else "flag" if number % 40 == 1 else "allow"
        verdicts = (
            Verdict("allow", {}, (), "patterns", "1", "prompt", "allow", "default", 0.2),
            Verdict(decision, found, reasons, "blocklist", "1", "output", decision, "default", 0.1),
        )
        ended = Generation(
            **{name: getattr(started, name) for name in started.__dataclass_fields__}
            | {
                "status": "blocked" if blocked else "failed" if failed else "completed",
                "finished_at": at + timedelta(milliseconds=300 + number % 4000),
                "outputs": () if failed else (Text(said, "stop"),),
                "verdicts": verdicts,
                "scores": (
                    Score("statistics", "1", "length", float(len(said)), "characters"),
                    Score("perplexity", "1", "perplexity", 12.5, "", False),
                ),
                "usage": Usage(12, words),
                "environment": {"python": "3.11", "threads": 2},
            }
        )
        yield started, ended


def writes(
    store: Store,
    chunk: Iterable[tuple[Generation, Generation]],
    policy: str = "filters: []",
    declared: Mapping[str, frozenset[str]] = DECLARED,
) -> Sequence[Callable[[], object]]:
    """Return the two calls that record a chunk of generations, each in one transaction.

    `chunk` has each generation as started and as ended. `policy` is the text of the policy, and
    `declared` has the categories that each filter declares.
    """
    started, ended = zip(*chunk, strict=True)
    return (
        lambda: store.record_started(started, policy_document=policy),
        lambda: store.record_outcomes(ended, declared_categories=declared),
    )


def fill(
    store: Store, count: int, *, words: int = WORDS, seed: int = 1, quiet: bool = False
) -> float:
    """Record `count` generations in chunks and return the number recorded a second.

    The time counts recording only, without the time to make up the texts.
    """
    spent, begun = 0.0, time.monotonic()
    made = generations(seed, words)
    for done in range(0, count, CHUNK):
        chunk: Sequence[tuple[Generation, Generation]] = list(
            itertools.islice(made, min(CHUNK, count - done))
        )
        before = time.perf_counter()
        for write in writes(store, chunk):
            write()
        spent += time.perf_counter() - before
        if not quiet and time.monotonic() - begun > 10:
            begun = time.monotonic()
            print(f"filled {done + len(chunk):,} of {count:,}", file=sys.stderr)
    return count / spent
