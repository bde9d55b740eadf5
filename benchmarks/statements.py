"""Count the statements and the lines of the core, by package.

A statement is a node of the syntax tree that is one, wherever it is nested. Strings that stand
alone, which document modules, classes, functions and attributes, are not counted. With `--since`
the files of a commit are counted, too, and `ratio` is the number of statements now divided by the
number then. Functions above 12 branches are those of ruff's rule PLR0912, without exemptions.
Prints one JSON line.

    python benchmarks/statements.py [--folder core/muniment] [--since COMMIT]
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BRANCHES = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default="core/muniment", help="Folder in the repository")
    parser.add_argument("--since", metavar="COMMIT", help="Commit to compare with")
    options = parser.parse_args()
    statements, lines = counted(ROOT / options.folder)
    figures: dict[str, object] = {
        "benchmark": "statements",
        "folder": options.folder,
        "statements": statements.total(),
        "lines": lines.total(),
        "statements_of_packages": dict(statements.most_common()),
        "lines_of_packages": dict(lines.most_common()),
        "functions_above_12_branches": branched(ROOT / options.folder),
    }
    if options.since:
        with tempfile.TemporaryDirectory() as then:
            extract(options.since, options.folder, Path(then))
            before, lines_before = counted(Path(then) / options.folder)
        packages = sorted(statements.keys() | before.keys())
        figures |= {
            "since": options.since,
            "statements_then": before.total(),
            "lines_then": lines_before.total(),
            "ratio": round(statements.total() / before.total(), 4),
            "change_of_packages": {
                name: statements[name] - before[name]
                for name in packages
                if statements[name] != before[name]
            },
        }
    print(json.dumps(figures))


def counted(folder: Path) -> tuple[Counter[str], Counter[str]]:
    """Return the numbers of statements and of lines, by package relative to the folder.

    The modules at the top are the package `.`.
    """
    statements, lines = Counter[str](), Counter[str]()
    for path in sorted(folder.rglob("*.py")):
        package = path.parent.relative_to(folder).as_posix()
        source = path.read_text(encoding="utf-8")
        lines[package] += source.count("\n")
        statements[package] += sum(is_counted(node) for node in ast.walk(ast.parse(source)))
    return statements, lines


def is_counted(node: ast.AST) -> bool:
    """Return whether a node is a statement other than a string that stands alone."""
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return False
        case ast.stmt():
            return True
    return False


def branched(folder: Path) -> list[str]:
    """Return the functions above the limit of branches, each as path:line and ruff's message."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--ignore-noqa"]
    command += ["--select", "PLR0912", "--config", f"lint.pylint.max-branches={BRANCHES}"]
    done = subprocess.run(
        [*command, "--output-format", "json", folder], capture_output=True, text=True
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"ruff failed: {done.stderr}; `make lint` installs it")
    return [
        f"{Path(found['filename']).relative_to(folder)}:{found['location']['row']} "
        f"{found['message']}"
        for found in json.loads(done.stdout)
    ]


def extract(commit: str, folder: str, target: Path) -> None:
    """Write the files of a folder at a commit into a folder."""
    command = ["git", "-C", ROOT, "archive", "--format=tar", commit, folder]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(target, filter="data")


if __name__ == "__main__":
    main()
