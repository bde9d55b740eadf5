"""Compare the start of `muniment` with `llm`, a command line with plugins and a log in SQLite.

Prints one JSON line. For `--help`, and for listing a log of the same twenty records, it has the
median wall time of each program, the median over interleaved pairs of muniment's time divided by
llm's, and the peak memory. The first run installs llm into `.bench/` in the current folder.

    python benchmarks/startup.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path

LLM_VERSION = "0.36"
RECORDS = 20
LIMITS = {"help": 0.15, "list": 0.6}

BENCH = Path(".bench").resolve()
PROMPTS = [f"prompt {number}: 最近我国成功发射了新的卫星" for number in range(RECORDS)]

# A generator in a separate distribution, installed only while the log is written.
ECHO_PLUGIN = '''
import muniment


class Echo(muniment.Generator):
    """Says the prompt again."""

    name, media_type, determinism = "bench-echo", "text/plain", "exact"

    def generate(self, requests):
        for request in requests:
            yield request.reply(muniment.Text(request.prompt))


@muniment.hookimpl
def muniment_generators(register):
    register(Echo)
'''

LLM_LOG = """
import json, sys
import llm, sqlite_utils
from llm.migrations import migrate


class Echo(llm.Model):
    model_id = "bench-echo"

    def execute(self, prompt, stream, response, conversation):
        yield prompt.prompt


path, prompts = sys.argv[1], json.loads(sys.argv[2])
database = sqlite_utils.Database(path)
migrate(database)
for prompt in prompts:
    response = Echo().prompt(prompt)
    response.text()
    response.log_to_db(database)
"""


def install_llm() -> Path:
    """Install llm into a separate environment, once, and return its folder of programs."""
    home = BENCH / f"llm-{LLM_VERSION}"
    programs = home / "bin"
    if not (programs / "llm").exists():
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        subprocess.run(
            [programs / "python", "-m", "pip", "install", "--quiet", f"llm=={LLM_VERSION}"],
            check=True,
            stdout=sys.stderr,
        )
    return programs


def write_llm_log(programs: Path) -> dict[str, str]:
    """Log the records with llm and return the environment variables that locate them."""
    home = BENCH / "llm-home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    subprocess.run(
        [programs / "python", "-c", LLM_LOG, home / "logs.db", json.dumps(PROMPTS)], check=True
    )
    return {**os.environ, "LLM_USER_PATH": str(home)}


def write_muniment_log(muniment: Path) -> dict[str, str]:
    """Record the same prompts with muniment and return the variables that locate them."""
    home, plugin = BENCH / "muniment-home", BENCH / "echo-plugin"
    for folder in (home, plugin):
        shutil.rmtree(folder, ignore_errors=True)
    metadata = plugin / "muniment_bench_echo-0.1.dist-info"
    metadata.mkdir(parents=True)
    (plugin / "muniment_bench_echo.py").write_text(ECHO_PLUGIN)
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: muniment-bench-echo\nVersion: 0.1\n"
    )
    (metadata / "entry_points.txt").write_text("[muniment.v1]\necho = muniment_bench_echo\n")
    (metadata / "RECORD").write_text("muniment_bench_echo.py,,\n")
    lines = BENCH / "prompts.jsonl"
    lines.write_text(
        "".join(
            json.dumps({"prompt": prompt, "generator": "bench-echo"}) + "\n" for prompt in PROMPTS
        )
    )
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MUNIMENT_")
    }
    environment["MUNIMENT_HOME"] = str(home)
    subprocess.run(
        [muniment, "batch", lines, "--json"],
        env={**environment, "PYTHONPATH": str(plugin)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return environment


def measure(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run a command and return its wall time in seconds and its peak memory in MB."""
    read, write = os.pipe()
    begin = time.perf_counter()
    process = os.posix_spawn(
        command[0],
        command,
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_CLOSE, read)],
    )
    os.close(write)
    with os.fdopen(read, "rb") as output:
        said = output.read()
    _, status, usage = os.wait4(process, 0)
    wall = time.perf_counter() - begin
    if os.waitstatus_to_exitcode(status) != 0 or not said:
        raise SystemExit(f"{' '.join(command)} failed with status {status}, {len(said)} bytes said")
    return wall, usage.ru_maxrss / 1024


def compare(
    ours: tuple[list[str], dict[str, str]],
    theirs: tuple[list[str], dict[str, str]],
    rounds: int,
    limit: float,
) -> dict[str, object]:
    """Run both alternately, after one unmeasured run of each, swapping the order each round."""
    measure(*ours), measure(*theirs)
    runs: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
    sides = [("ours", ours), ("theirs", theirs)]
    for number in range(rounds):
        for side, call in sides if number % 2 == 0 else reversed(sides):
            runs[side].append(measure(*call))
    ratio = statistics.median(
        mine / other for (mine, _), (other, _) in zip(runs["ours"], runs["theirs"], strict=True)
    )
    return {
        "muniment_s": round(statistics.median(wall for wall, _ in runs["ours"]), 4),
        "llm_s": round(statistics.median(wall for wall, _ in runs["theirs"]), 4),
        "ratio": round(ratio, 3),
        "ratio_limit": limit,
        "muniment_peak_mb": round(max(memory for _, memory in runs["ours"]), 1),
        "llm_peak_mb": round(max(memory for _, memory in runs["theirs"]), 1),
        "ok": ratio <= limit,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="Measured pairs of each command")
    rounds = parser.parse_args().rounds

    BENCH.mkdir(exist_ok=True)
    muniment = Path(sys.executable).parent / "muniment"
    llm = install_llm()
    our_environment = write_muniment_log(muniment)
    their_environment = write_llm_log(llm)
    commands = {
        "help": ([str(muniment), "--help"], [str(llm / "llm"), "--help"]),
        "list": ([str(muniment), "audit", "list"], [str(llm / "llm"), "logs"]),
    }
    results = {
        name: compare((ours, our_environment), (theirs, their_environment), rounds, LIMITS[name])
        for name, (ours, theirs) in commands.items()
    }
    print(
        json.dumps(
            {
                "benchmark": "startup",
                "compared_with": f"llm {LLM_VERSION}",
                "python": sys.version.split()[0],
                "cores": os.cpu_count(),
                "records": RECORDS,
                "rounds": rounds,
                **results,
            }
        )
    )


if __name__ == "__main__":
    main()
