"""A workspace for tests: a session with the plugins of a folder, and a real store."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from muniment import Chunk, Generation, GenerationSpec, Session
from support.plugins import PluginFolder


class Workspace:
    """One home. Its session is made on first use, with what is on the shelf by then.

    No policy is in force unless a test names one, whatever is installed.
    """

    def __init__(self, home: Path, plugin_folder: PluginFolder) -> None:
        self.home = home
        self.plugin_folder = plugin_folder
        home.mkdir()
        (home / "config.toml").write_text('policy = "none"\nactor = "tester"\n')

    @cached_property
    def session(self) -> Session:
        return Session(self.home, plugins=self.plugin_folder.plugins())

    def run(
        self, *prompts: str, policy: str | Path | None = None, generator: str = "text"
    ) -> list[Generation]:
        """Generate for all prompts in one model batch, and see that the evidence holds."""
        specs = [GenerationSpec(prompt, generator=generator) for prompt in prompts]
        done = list(self.session.run(specs, policy=policy))
        assert not any(isinstance(item, Chunk) for item in done)
        self.check()
        return done  # type: ignore[return-value]

    def policy(self, *rules: str) -> Path:
        """Write a policy of rules such as `{filter: polite}`."""
        path = self.home / f"policy-{len(list(self.home.glob('policy-*')))}.yaml"
        filters = "".join(f"- {rule}\n" for rule in rules)
        path.write_text(f"policy: team\nversion: 1\nfilters:\n{filters}", encoding="utf-8")
        return path

    def recorded(self) -> list[Generation]:
        """Return what the store holds, whole, the oldest first."""
        found = [self.session.generation(item.id) for item in self.session.generations()]
        return found[::-1]

    def check(self) -> None:
        """Verify the store against itself."""
        found = self.session.store.verify(projections=True, payloads=True)
        assert found.ok, found.problems

    def close(self) -> None:
        if "session" in self.__dict__:
            self.__dict__.pop("session").close()
