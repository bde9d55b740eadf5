"""Train `fashion-28`, or another family on the same data, with `muniment image train`.

The first 50,000 training pictures of Fashion-MNIST are used. The other 10,000 are written beside
them for tuning. See README.md for the commands.
"""

from __future__ import annotations

import gzip
import struct
import subprocess
from pathlib import Path

import click

from muniment_image.idx import FASHION_CLASSES

TRAINED = 50_000
STEPS = {"flow": 10_000, "dcgan": 11_000, "vae": 18_500}
"""Numbers of steps that take equal times on a processor with bfloat16."""


@click.command
@click.option(
    "--source",
    type=click.Path(path_type=Path, exists=True),
    default=Path("/usr/share/datasets/fashion-mnist"),
    show_default=True,
    help="Folder with the IDX files.",
)
@click.option("--family", type=click.Choice(tuple(STEPS)), default="flow", show_default=True)
@click.option(
    "--work", type=click.Path(path_type=Path), required=True, help="Folder for data and models."
)
@click.option("--resume", is_flag=True, help="Continue the training of an earlier run.")
def main(source: Path, family: str, work: Path, resume: bool) -> None:
    """Write the data into a folder and train a model of it there."""
    out = work / f"fashion-{family}"
    command = ["muniment", "image", "train", "--out", str(out), "--checkpoint-steps", "500"]
    if resume:
        raise SystemExit(subprocess.call([*command, "--resume"]))
    write_part(source, work / "training", slice(0, TRAINED))
    write_part(source, work / "held-out", slice(TRAINED, None))
    command += ["--family", family, "--data", str(work / "training"), "--condition", "label"]
    command += ["--image-size", "28", "--steps", str(STEPS[family]), "--batch", "64", "--seed", "1"]
    raise SystemExit(subprocess.call(command))


def write_part(source: Path, folder: Path, part: slice) -> None:
    """Write a part of the training pictures and labels as IDX files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in (("train-images-idx3-ubyte", 28 * 28), ("train-labels-idx1-ubyte", 1)):
        data = gzip.decompress((source / f"{name}.gz").read_bytes())
        header = 8 if size == 1 else 16
        start, stop, _ = part.indices(struct.unpack(">I", data[4:8])[0])
        count = struct.pack(">I", stop - start)
        content = data[header + start * size : header + stop * size]
        (folder / name).write_bytes(data[:4] + count + data[8:header] + content)
    (folder / "classes.txt").write_text("\n".join(FASHION_CLASSES) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
