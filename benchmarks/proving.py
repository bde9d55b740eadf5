"""Measure the time to show and to prove one generation, in stores of several sizes.

Fills stores with the recording functions (kept in `.bench/`, which `finding.py` uses too), signs
each, and picks generations at random. `show` reads the whole record of one. `inclusion` makes the
path of an entry to the root. `prove` makes a whole proof of about six entries, prompt and output.
`verify` checks that proof without a store. `sign` is the time that signing adds to a command.
Prints one JSON line, in milliseconds.

    python benchmarks/proving.py [--generations 10000,100000] [--rounds 300]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filling import fill
from startup import BENCH

from muniment.ledger import proofs
from muniment.ledger.checkpoints import Note
from muniment.ledger.tree import inclusion_proof
from muniment.signing import KeyStore
from muniment.store import Store
from muniment.store.recording import tree_heads

LIMIT = 5.0  # milliseconds, the 95th percentile of showing and of an inclusion proof


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generations", default="10000,100000", help="Sizes, separated by commas")
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args()
    BENCH.mkdir(exist_ok=True)
    sizes = {size: at_size(int(size), options.rounds) for size in options.generations.split(",")}
    worst = max(
        figures[what]["p95"] for figures in sizes.values() for what in ("show", "inclusion")
    )
    print(
        json.dumps(
            {
                "benchmark": "proving",
                "python": sys.version.split()[0],
                "cores": os.cpu_count(),
                "load": round(os.getloadavg()[0], 1),
                "rounds": options.rounds,
                "generations": sizes,
                "limit_ms": LIMIT,
                "ok": worst <= LIMIT,
            }
        )
    )


def at_size(size: int, rounds: int) -> dict[str, Any]:
    """Measure a store of the given number of generations."""
    path = BENCH / f"finding-{size}.db"
    if not path.exists():
        partial = path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        with Store.open(f"sqlite:///{partial}", create=True) as store:
            fill(store, size)
        partial.rename(path)
    with (
        tempfile.TemporaryDirectory() as home,
        Store.open(f"sqlite:///{path}", create=False) as store,
    ):
        keys = KeyStore(Path(home))
        key = keys.generate(store.log)
        note = keys.sign(store)
        assert note is not None
        source = random.Random(1)
        ids = store.sample(rounds, "bench")
        proof = store.prove(ids[0], note, ("prompt", "output")).write()
        return {
            "entries": note.checkpoint.size,
            "proof_bytes": len(proof),
            "show": timed(lambda: store.generation(source.choice(ids)), rounds),
            "inclusion": timed(
                lambda: path_of(store, source.randrange(note.checkpoint.size), note), rounds
            ),
            "prove": timed(
                lambda: store.prove(source.choice(ids), note, ("prompt", "output")), rounds
            ),
            "verify": timed(lambda: proofs.parse_proof(proof).verify(key), rounds),
            "sign": timed(lambda: keys.sign(store), max(1, rounds // 10)),
        }


def path_of(store: Store, number: int, note: Note) -> list[bytes]:
    """Return the path of one entry, read from the store."""
    with store._database.reading() as connection:
        return inclusion_proof(number, note.checkpoint.size, tree_heads.node_reader(connection))


def timed(call: Callable[[], object], rounds: int) -> dict[str, float]:
    """Return the median and the 95th percentile of warm calls, and their processor time."""
    call()
    spent = []
    cpu = time.process_time()
    for _ in range(rounds):
        begin = time.perf_counter()
        call()
        spent.append((time.perf_counter() - begin) * 1000)
    cpu = (time.process_time() - cpu) * 1000 / rounds
    spent.sort()
    return {
        "median": round(spent[len(spent) // 2], 2),
        "p95": round(spent[int(len(spent) * 0.95)], 2),
        "cpu": round(cpu, 2),
    }


if __name__ == "__main__":
    main()
