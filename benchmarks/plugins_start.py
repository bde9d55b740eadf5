"""Measure the start of `muniment --help` and `plugins list` with 50 plugins and without.

Prints one JSON line. For `--help` it has the median over interleaved pairs of the wall time with
the plugins divided by the time without. For `plugins list` it has the median wall and processor
time. The plugins are folders of metadata on Python's path, as pip installs them. Their modules
would end the process if they were imported.

    python benchmarks/plugins_start.py [--plugins 50] [--rounds 15]
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
from pathlib import Path

LIMITS = {"help_ratio": 1.2, "list_seconds": 0.3}


def shelve(folder: Path, count: int) -> None:
    """Write the metadata of the plugins, and modules that must not be imported."""
    for number in range(count):
        module = f"muniment_many_{number}"
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (folder / f"{module}.py").write_text("import os\nos._exit(70)\n")
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: muniment-many-{number}\nVersion: 1.0\n"
            f"Summary: plugin {number}\nRequires-Dist: muniment>=0.1,<0.2\n"
        )
        (info / "entry_points.txt").write_text(f"[muniment.v1]\nmany{number} = {module}\n")
        (info / "RECORD").write_text(f"{module}.py,,\n")
        (info / "INSTALLER").write_text("pip\n")


def measure(command: list[str], environment: dict[str, str]) -> tuple[float, float, str]:
    """Run a command and return its wall time, its processor time and its output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plugins", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    muniment = str(Path(sys.executable).parent / "muniment")
    with tempfile.TemporaryDirectory() as given:
        folder, home = Path(given) / "site", Path(given) / "home"
        folder.mkdir()
        shelve(folder, arguments.plugins)
        plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        plain["MUNIMENT_HOME"] = str(home)
        many = {**plain, "PYTHONPATH": str(folder)}
        help_, list_ = [muniment, "--help"], [muniment, "plugins", "list"]
        sides = [("none", help_, plain), ("many", help_, many), ("list", list_, many)]
        sides.append(("list_none", list_, plain))
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name, _, _ in sides}
        for number in range(arguments.rounds + 1):
            for name, command, environment in sides if number % 2 else reversed(sides):
                wall, cpu, said = measure(command, environment)
                if name == "list":
                    assert said.count("muniment-many-") == arguments.plugins, said
                if number:  # the first round warms the disk cache
                    runs[name].append((wall, cpu))
    pairs = zip(runs["many"], runs["none"], strict=True)
    walls, cpus = zip(*((m[0] / n[0], m[1] / n[1]) for m, n in pairs), strict=True)
    median = {
        name: tuple(round(statistics.median(values), 4) for values in zip(*found, strict=True))
        for name, found in runs.items()
    }
    ratio = round(statistics.median(walls), 3)
    result = {
        "benchmark": "plugins_start",
        "python": sys.version.split()[0],
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "plugins": arguments.plugins,
        "rounds": arguments.rounds,
        "help_wall_and_cpu_s": median["many"],
        "help_without_wall_and_cpu_s": median["none"],
        "help_ratio": ratio,
        "help_cpu_ratio": round(statistics.median(cpus), 3),
        "list_wall_and_cpu_s": median["list"],
        "list_without_wall_and_cpu_s": median["list_none"],
        "limits": LIMITS,
        "ok": ratio <= LIMITS["help_ratio"] and median["list"][0] <= LIMITS["list_seconds"],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
