"""Put a trained model into the package, with its card and the settings of its sampler.

The weights and `training.json` are copied unchanged.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import click

from muniment_image.model_folder import CARD, CONFIG, TRAINING, WEIGHTS, load_model

HERE = Path(__file__).parent
PACKAGED = HERE.parent / "muniment_image" / "models"


@click.command
@click.argument("model", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("name", type=click.Choice(("fashion-28", "emoji-32")))
@click.option("--steps", type=int, required=True, help="Default number of steps of the sampler.")
@click.option("--guidance", type=float, required=True, help="Default guidance.")
@click.option("--batch", type=int, default=8, show_default=True, help="Rows of a sampled batch.")
@click.option(
    "--into", type=click.Path(path_type=Path), default=PACKAGED, help="Folder of the models."
)
def main(model: Path, name: str, steps: int, guidance: float, batch: int, into: Path) -> None:
    """Copy the folder MODEL of `muniment image train` as the packaged model NAME."""
    config = load_model(model).config
    config = dataclasses.replace(config, steps=steps, guidance=guidance, batch=batch)
    folder = into / name
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model / WEIGHTS, folder / WEIGHTS)
    if (model / TRAINING).is_file():
        shutil.copyfile(model / TRAINING, folder / TRAINING)
    text = json.dumps(config.to_json(), ensure_ascii=False, indent=1)
    (folder / CONFIG).write_text(f"{text}\n", encoding="utf-8")
    card = (HERE / "cards" / f"{name}.md").read_text(encoding="utf-8")
    (folder / CARD).write_text(
        card.replace("STEPS", str(steps)).replace("GUIDANCE", f"{guidance:g}"), encoding="utf-8"
    )
    load_model(folder)  # checks the result


if __name__ == "__main__":
    main()
