"""The base of groups that translate a command when they return it."""

from __future__ import annotations

import click


class TranslatingGroup(click.Group):
    """A group whose `get_command` returns a translated command."""
