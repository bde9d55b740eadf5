"""Train `emoji-32` with `muniment image train`, on pictures of a font with names in two languages.

See README.md for the commands.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import click
import numpy as np
from emoji_data import HELD_OUT, build_vocabulary, captions, read_emoji, render
from PIL import Image

SIZE = 32
STEPS = 16_000
VARIANTS = 12
"""Pictures of an emoji. Those of a colour and a shape have four times as many."""
NETWORK = ("width=96", "blocks=1", "embedding=256")


@click.command
@click.option(
    "--font",
    type=click.Path(path_type=Path, exists=True),
    default=Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"),
    show_default=True,
    help="The font Noto Color Emoji.",
)
@click.option(
    "--names",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="Folder of the package emojibase-data.",
)
@click.option(
    "--work", type=click.Path(path_type=Path), required=True, help="Folder for data and model."
)
@click.option("--resume", is_flag=True, help="Continue the training of an earlier run.")
def main(font: Path, names: Path, work: Path, resume: bool) -> None:
    """Write the data into a folder and train a model of it there."""
    command = ["muniment", "image", "train", "--out", str(work / "emoji-flow")]
    command += ["--checkpoint-steps", "500"]
    if resume:
        raise SystemExit(subprocess.call([*command, "--resume"]))
    write_pictures(font, names, work / "emoji")
    command += ["--family", "flow", "--data", str(work / "emoji"), "--condition", "caption"]
    command += ["--image-size", str(SIZE), "--steps", str(STEPS), "--batch", "32", "--seed", "1"]
    command += ["--guidance", "2", "--ema", "0.9995", "--samples", "16"]
    for size in NETWORK:
        command += ["--network", size]
    raise SystemExit(subprocess.call(command))


def write_pictures(font: Path, names: Path, folder: Path) -> None:
    """Write the pictures, `metadata.jsonl` with their captions, and `words.txt`."""
    emoji = read_emoji(names)
    condition = build_vocabulary(emoji)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, one in enumerate(emoji):
        if one.names[0] in HELD_OUT:
            continue
        rng = np.random.default_rng(number)
        variants = VARIANTS * (4 if one.is_shape else 1)
        for variant, pixels in enumerate(render(font, one.text, SIZE, variants, rng)):
            name = f"{ord(one.text):05x}-{variant:02}.png"
            Image.fromarray(pixels).save(folder / name)
            lines.append({"file_name": name, "caption": captions(one, condition, rng)})
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "metadata.jsonl").write_text(text, encoding="utf-8")
    words = "".join(" ".join(row) + "\n" for row in condition.words)
    (folder / "words.txt").write_text(words, encoding="utf-8")


if __name__ == "__main__":
    main()
