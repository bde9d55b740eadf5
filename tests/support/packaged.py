"""A generator whose models come with its package: adding one writes a line into a log.

A model's folder holds one word, which the generator puts behind each prompt. While the file
`hold` is in the folder of the log, adding writes half of the files and waits.
"""

from __future__ import annotations

from pathlib import Path

from muniment.plugins.discovery import Plugin
from support.plugins import PluginFolder

SOURCE = """
import time
from pathlib import Path
import muniment

LOG = Path({log!r})

class Worded(muniment.Generator):
    name, media_type, determinism, uses_model = {name!r}, "text/plain", "exact", True
    model_command = "muniment words fit"

    class Parameters(muniment.Parameters):
        times: int = muniment.param(1, ge=1, le=3, help="how often")

    def load(self, model):
        self.word = (Path(model.path) / "word.txt").read_text()

    def generate(self, requests):
        for request in requests:
            yield request.reply(muniment.Text(f"{{request.prompt}} {{self.word}}"))

    def packaged_models(self):
        return [muniment.PackagedModel(*model) for model in {packaged!r}]

    def add_model(self, source, into, progress):
        if source == "broken":
            with LOG.open("a") as log: log.write("broken\\n")
            raise OSError(28, "No space left on device")
        progress("writing", 0.5)
        print("printed by the plugin")
        (into / "half.txt").write_text("half")
        if LOG.with_name("hold").exists():
            LOG.with_name("held").write_text("")
            while LOG.with_name("hold").exists():
                time.sleep(0.02)
        (into / "word.txt").write_text(Path(source).name)
        with LOG.open("a") as log: log.write(f"{{source}}\\n")
        return {{"name": Path(source).name, "roles": {{}}, "terms": ""}}

    def find_model(self, source):
        raise muniment.ModelError(source, f"there is no model {{source}}")

@muniment.hookimpl
def muniment_generators(register):
    register(Worded)
"""

FIRST = ("first", "package:first", "Use it kindly.")
SECOND = ("second", "package:second", "")


class Packages:
    """The installed plugin, and the additions that its log counts."""

    def __init__(self, folder: Path, plugin_folder: PluginFolder) -> None:
        folder.mkdir()
        self.folder, self.plugin_folder = folder, plugin_folder
        self.log = folder / "log"

    def install(
        self, *packaged: tuple[str, str, str], name: str = "worded", distribution: str = "worded"
    ) -> Plugin:
        source = SOURCE.format(log=str(self.log), name=name, packaged=packaged)
        return self.plugin_folder.add(source, distribution=distribution)

    @property
    def additions(self) -> list[str]:
        """The sources that were added, in order."""
        return self.log.read_text().split() if self.log.exists() else []
