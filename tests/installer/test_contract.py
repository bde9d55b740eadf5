"""The installer's commands pass the suite for commands."""

from __future__ import annotations

import subprocess
import sys

from muniment.testing import CommandContract
from muniment_installer import bundle_commands, commands


class TestInstall(CommandContract):
    command, reads = commands.install, False


class TestUpgrade(CommandContract):
    command, reads = commands.upgrade, False


class TestUninstall(CommandContract):
    command, reads = commands.uninstall, False


class TestRestore(CommandContract):
    command, reads = commands.restore, False


class TestBundle(CommandContract):
    command, reads = bundle_commands.bundle, False


class TestFreeze(CommandContract):
    command = bundle_commands.freeze


def test_the_help_of_the_group_imports_no_database() -> None:
    code = (
        "import sys; from muniment.cli import main; code = main(['plugins', '--help']); "
        "assert not {'sqlalchemy', 'packaging'} & {*sys.modules}; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Upgrade plugins" in done.stdout
