"""Measure the verification of a large store beside loops that do the least it can do.

Fills a store with the recording functions (--store keeps it for the next run). Then runs, by turns,
`muniment audit verify` with each check and two loops, each in a process of its own. The entry loop
reads the columns of every entry, hashes its bytes, decodes them and encodes them again with
msgspec. The payload loop reads every payload and computes its HMAC.

The time of the same program on an empty store is subtracted, so that no figure has the start-up.
A check adds the time that it takes longer than the check of the tree alone. A ratio is the median
of the ratios of the rounds: the tree to the entry loop, the time that `--projections` adds to the
entry loop, and the time that `--payloads` adds to the payload loop. Prints one JSON line with the
wall and processor seconds, and the peak memory of all processes together, where shared pages count
for each process.

Two checks of the database are also measured alone: that of the schema, which is part of every
verification, and that of the indexes, which is part of `--projections`, `--payloads` and
`--search`. The time of the indexes is not part of the time that a check adds.

    python benchmarks/verifying.py [--generations N] [--words N] [--store PATH] [--rounds N]
        [--processes N] [--rebuild]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from filling import WORDS, fill

from muniment.store import Store

CHECKS = {
    "tree": [],
    "projections": ["--projections"],
    "payloads": ["--payloads"],
    "search": ["--search"],
}
LOOPS = {
    "entry loop": """
import sqlite3, sys
from hashlib import sha256
from msgspec.json import Decoder, Encoder

decode, encode = Decoder().decode, Encoder(order="sorted").encode
read, equal = 0, 0
connection = sqlite3.connect(sys.argv[1])
columns = "seq, kind, version, canonical_bytes, leaf_hash"
for row in connection.execute(f"SELECT {columns} FROM entry ORDER BY seq"):
    seq, kind, version, data, leaf = row
    read += 1
    equal += sha256(b"\\0" + data).digest() == leaf and encode(decode(data)) == data
print(read, equal)
""",
    "payload loop": """
import sqlite3, sys
from hmac import digest

read, size = 0, 0
connection = sqlite3.connect(sys.argv[1])
columns = "entry, kind, position, salt, content"
for entry, kind, position, salt, content in connection.execute(f"SELECT {columns} FROM payload"):
    read += 1
    size += len(content)
    digest(salt, kind.encode() + b"\\0" + content, "sha256")
print(read, size)
""",
}
PARTS = {
    "schema": """
import sys
from muniment.store.database import catalog
from muniment.store.database.opening import open_database

with open_database(sys.argv[1]).reading() as connection:
    print(len(list(catalog.differences(connection))))
""",
    "indexes": """
import sys
from muniment.store.database import catalog
from muniment.store.database.opening import open_database

with open_database(sys.argv[1]).reading() as connection:
    print(len(list(catalog.damage(connection))))
""",
}
LIMITS = {
    "tree ÷ entry loop": 1.5,
    "added by --projections ÷ entry loop": 3.0,
    "added by --payloads ÷ payload loop": 2.0,
}


class Spent(NamedTuple):
    """Seconds of wall time and of processor time."""

    wall: float
    processor: float

    def since(self, other: Spent) -> Spent:
        """Return the difference."""
        return Spent(self.wall - other.wall, self.processor - other.processor)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument(
        "--generations", type=int, default=500_000, help="Generations (two entries each)"
    )
    arguments.add_argument("--words", type=int, default=WORDS, help="Words of an output")
    arguments.add_argument("--store", type=Path, default=None, help="Path of the store")
    arguments.add_argument("--checks", nargs="+", choices=CHECKS, default=list(CHECKS))
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--processes", default="1", help="Processes, as for audit verify")
    arguments.add_argument("--rebuild", action="store_true", help="Measurement of db rebuild")
    options = arguments.parse_args()
    figures: dict[str, Any] = {
        "benchmark": "verifying",
        "date": datetime.now(UTC).date().isoformat(),
        "words": options.words,
        "processes": int(options.processes),
        "rounds": options.rounds,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = options.store or Path(folder) / "muniment.db"
        if not path.exists():
            with Store.open(url_of(path), create=True) as store:
                figures["filled_per_second"] = round(
                    fill(store, options.generations, words=options.words)
                )
        empty = Path(folder) / "empty.db"
        with Store.open(url_of(empty), create=True):
            pass
        names = [*LOOPS, *PARTS, *options.checks]
        least = {name: run(name, empty, options.processes)[1] for name in names}
        rounds: dict[str, list[Spent]] = {name: [] for name in names}
        peaks: dict[str, float] = dict.fromkeys(names, 0.0)
        for number in range(options.rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                printed, spent, peak = run(name, path, options.processes)
                rounds[name].append(spent.since(least[name]))
                peaks[name] = max(peaks[name], peak)
                if name in CHECKS:
                    verified = json.loads(printed)
                    assert verified["ok"], verified["problems"][:5]
                    figures["entries"] = verified["entries"]
                elif name in PARTS:
                    assert printed.strip() == "0", f"{name}: {printed} problems"
                elif name == "entry loop":
                    read, equal = printed.split()
                    assert read == equal, f"{read} entries, but {equal} encoded equally"
                else:
                    figures["payload_rows"], figures["payload_bytes"] = map(int, printed.split())
                print(f"round {number + 1}: {name} {rounds[name][-1]}", file=sys.stderr)
        if options.rebuild:
            _, wall, processor, peak = measured(url_of(path), "db", "rebuild", "--json")
            rounds["rebuild"], peaks["rebuild"] = [Spent(wall, processor)], peak
        figures["start_up_seconds"] = round(max(spent.wall for spent in least.values()), 2)
        for name, held in rounds.items():
            figures[name] = {
                "seconds": round(statistics.median(spent.wall for spent in held), 2),
                "processor_seconds": round(statistics.median(spent.processor for spent in held), 2),
                "peak_mb": round(peaks[name]),
            }
        figures |= {
            "ratios": ratios(rounds, "wall"),
            "ratios_of_processor_time": ratios(rounds, "processor"),
            "limits": LIMITS,
            "store_bytes": path.stat().st_size,
            "load_average": [round(load, 1) for load in os.getloadavg()],
            "cores": os.cpu_count(),
        }
        print(json.dumps(figures, ensure_ascii=False))


def ratios(rounds: Mapping[str, Sequence[Spent]], time: str) -> dict[str, float]:
    """Return the medians of the ratios of the rounds, of one kind of time.

    The comparison of the indexes is not part of the time that a check adds.
    """
    seconds = {name: [getattr(spent, time) for spent in held] for name, held in rounds.items()}
    tree = seconds.get("tree")
    if tree is None:
        return {}
    loops = {"projections": "entry loop", "payloads": "payload loop"}
    result = {
        "tree ÷ entry loop": _ratio(tree, seconds["entry loop"]),
        "indexes ÷ entry loop": _ratio(seconds["indexes"], seconds["entry loop"]),
    }
    for name, loop in loops.items():
        if name in seconds:
            times = zip(seconds[name], tree, seconds["indexes"], strict=True)
            added = [whole - least - indexes for whole, least, indexes in times]
            result[f"added by --{name} ÷ {loop}"] = _ratio(added, seconds[loop])
    return result


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 3)


def url_of(path: Path) -> str:
    """Return the URL of a store in a file."""
    return f"sqlite:///{path.absolute()}"


def run(name: str, path: Path, processes: str) -> tuple[str, Spent, float]:
    """Run a program on a store and return its output, its time and its peak megabytes."""
    if name in LOOPS:
        printed, *spent, peak = timed([sys.executable, "-c", LOOPS[name], str(path)])
    elif name in PARTS:
        printed, *spent, peak = timed([sys.executable, "-c", PARTS[name], url_of(path)])
    else:
        command = ["audit", "verify", "--json", "--processes", processes, *CHECKS[name]]
        printed, *spent, peak = measured(url_of(path), *command)
    return printed, Spent(*spent), peak


def measured(url: str, *command: str) -> tuple[str, float, float, float]:
    """Run `muniment` on a store and return its output, seconds, processor seconds and peak MB."""
    return timed([sys.executable, "-m", "muniment", "--store", url, *command])


def timed(command: Sequence[str]) -> tuple[str, float, float, float]:
    """Run a program and return its output, seconds, processor seconds and peak megabytes."""
    start = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    peak = 0
    while running.poll() is None:
        peak = max(peak, sum(map(resident, (running.pid, *children(running.pid)))))
        time.sleep(0.05)
    seconds = time.perf_counter() - start
    assert running.stdout is not None
    printed = running.stdout.read().decode()
    assert running.returncode == 0, (command, printed[:500])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return printed, seconds, processor, peak / 1024


def children(number: int) -> list[int]:
    """Return the child processes of a process."""
    try:
        listed = Path(f"/proc/{number}/task/{number}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in listed.split()]


def resident(number: int) -> int:
    """Return the resident memory of a process in kilobytes."""
    try:
        lines = Path(f"/proc/{number}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


if __name__ == "__main__":
    main()
