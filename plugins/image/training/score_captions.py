"""Measure whether the pictures of `emoji-32` show their captions, with a scorer of its own.

The scorer is trained on two other sets of pictures and on names in both languages. Nothing else
uses it. It first ranks the names of Twemoji, whose pictures it was not trained on.

    images [N, 3, 32, 32] in [-1, 1]
      └─ 3 x (convolution 3x3, SiLU, mean of 2x2) ─→ [N, 128, 4, 4]
      └─ linear layer, norm 1 ─────────────────────→ [N, 64]
    captions [M, words], ids of words, 0 for none
      └─ mean of embeddings, norm 1 ───────────────→ [M, 64]

The loss is that of Radford et al., "Learning Transferable Visual Models From Natural Language
Supervision", 2021: the cross entropy of each picture among the captions of a batch, and the
reverse.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np
import torch
from emoji_data import HELD_OUT, Emoji, build_vocabulary, read_emoji, render
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from muniment_image.conditions import CaptionCondition
from muniment_image.families.base import Noise
from muniment_image.model_folder import load_model
from muniment_image.tensors import image_tensor

SIZE = 32
BATCH = 96
LANGUAGES = ("en", "zh")


class Scorer(nn.Module):
    """A network that gives similar vectors to pictures and to captions that fit them."""

    def __init__(self, words: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in (32, 64, 128):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.SiLU(), nn.AvgPool2d(2)]
            channels = width
        self.image = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 16, 64))
        self.words = nn.EmbeddingBag(words, 64, mode="mean", padding_idx=0)
        self.scale = nn.Parameter(torch.tensor(2.5))

    def forward(self, images: Tensor, captions: Tensor) -> Tensor:
        """Return the scores [N, M] of pictures [N, 3, 32, 32] and captions [M, words]."""
        pictures = functional.normalize(self.image(images), dim=1)
        texts = functional.normalize(self.words(captions), dim=1)
        return self.scale.exp() * pictures @ texts.T


@click.command
@click.argument("model", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--font", type=click.Path(path_type=Path, exists=True), required=True)
@click.option(
    "--names", type=click.Path(path_type=Path, exists=True), required=True, help="emojibase-data."
)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    required=True,
    help="Folder of pictures named by their code points, which the scorer is trained on.",
)
@click.option(
    "--twemoji",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="Folder `img/twitter/64` of npm's emoji-datasource-twitter.",
)
@click.option("--steps", type=int, default=4000, show_default=True, help="Updates of the scorer.")
@click.option("--seeds", type=int, default=4, show_default=True, help="Pictures of a caption.")
@click.option("--guidance", type=float, multiple=True, help="Another guidance than the default.")
def main(
    model: Path,
    font: Path,
    names: Path,
    pictures: tuple[Path, ...],
    twemoji: Path,
    steps: int,
    seeds: int,
    guidance: tuple[float, ...],
) -> None:
    """Print the shares of pictures whose own name is ranked first among those of all shapes."""
    torch.set_num_threads(1)
    emoji = read_emoji(names)
    vocabulary = build_vocabulary(emoji)
    scorer = train(emoji, vocabulary, font, pictures, steps)
    shapes = [one for one in emoji if one.is_shape]
    real = image_tensor(np.stack([read(twemoji, one) for one in shapes]), 3)
    click.echo(json.dumps({"twemoji": shares(scorer, vocabulary, shapes, shapes, real)}))
    for strength in guidance or (None,):
        record: dict[str, object] = {"guidance": strength, "seeds": seeds}
        for part, is_held_out in (("trained", False), ("held out", True)):
            drawn = [one for one in shapes if (one.names[0] in HELD_OUT) == is_held_out]
            record[part] = {
                language: shares(
                    scorer,
                    vocabulary,
                    shapes,
                    [one for one in drawn for _ in range(seeds)],
                    draw(model, [one.names[k] for one in drawn], seeds, strength),
                )[language]
                for k, language in enumerate(LANGUAGES)
            }
        click.echo(json.dumps(record, ensure_ascii=False))


def train(
    emoji: Sequence[Emoji],
    vocabulary: CaptionCondition,
    font: Path,
    folders: Sequence[Path],
    steps: int,
) -> Scorer:
    """Return a scorer that is trained on the pictures of a font and of folders."""
    rng = np.random.default_rng(7)
    torch.manual_seed(7)
    pictures = [
        np.concatenate(
            [
                render(font, one.text, SIZE, 1, rng),
                *([read(folder, one)] for folder in folders if has_picture(folder, one)),
            ]
        )
        for one in emoji
    ]
    texts = torch.tensor([[vocabulary.encode(name) for name in one.names] for one in emoji])
    # Names of a colour and a shape are few, and are what is measured.
    chances = np.array([24.0 if one.is_shape else 1.0 for one in emoji])
    scorer = Scorer(vocabulary.size)
    optimizer = torch.optim.AdamW(scorer.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for step in range(steps):
        rows = rng.choice(len(emoji), BATCH, replace=False, p=chances / chances.sum())
        images = np.stack([vary(rng.choice(pictures[row]), rng) for row in rows])
        captions = texts[rows, rng.integers(2, size=BATCH)]
        scores = scorer(torch.from_numpy(images).permute(0, 3, 1, 2), captions)
        # Two emoji of a batch can have one caption.
        same = (captions[:, None] == captions).all(dim=2).float()
        targets = same / same.sum(dim=1, keepdim=True)
        loss = functional.cross_entropy(scores, targets) + functional.cross_entropy(
            scores.T, targets
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 500 == 0:
            click.echo(f"step {step + 1:,} of {steps:,}: loss {loss.item():.3f}", err=True)
    return scorer.eval()


def vary(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a picture in [-1, 1] with another size, position, brightness and colour."""
    side = int(rng.integers(20, SIZE + 7))
    small = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
    canvas = Image.new("RGB", (SIZE, SIZE), "white")
    room = SIZE - side  # negative where edges are cut off
    canvas.paste(small, tuple(rng.integers(min(room, 0), max(room, 0) + 1, 2)))
    values = np.asarray(canvas, dtype=np.float32) / 255
    flatness = rng.uniform(0, 1)  # a picture without shades, as some sets of emoji are drawn
    values = (1 - flatness) * values + flatness * np.round(values * 3) / 3
    grey = values.mean(axis=2, keepdims=True)
    values = grey + (values - grey) * rng.uniform(0.6, 1.3)  # saturation
    # Each channel of the ink gets another strength, and white stays white.
    values = 1 - (1 - values) * rng.uniform(0.8, 1.15, 3)
    values += rng.normal(0, rng.uniform(0, 0.05), values.shape)
    return (values.clip(0, 1) * 2 - 1).astype(np.float32)


def read(folder: Path, one: Emoji) -> NDArray[np.uint8]:
    """Return the picture [32, 32, 3] of an emoji on white, from a file with its code point."""
    with Image.open(next(paths(folder, one))) as file:
        picture = file.convert("RGBA")
    canvas = Image.new("RGBA", picture.size, "white")
    canvas.alpha_composite(picture)
    small = canvas.convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    return np.asarray(small)


def has_picture(folder: Path, one: Emoji) -> bool:
    """Return whether a folder has a picture of an emoji. Not every set has the newest ones."""
    return next(paths(folder, one), None) is not None


def paths(folder: Path, one: Emoji) -> Iterator[Path]:
    """Yield the files of an emoji in a folder."""
    for end in (".webp", "-fe0f.webp", ".png", "-fe0f.png"):
        path = folder / f"{ord(one.text):04x}{end}"
        if path.is_file():
            yield path


def draw(model: Path, captions: Sequence[str], seeds: int, guidance: float | None) -> Tensor:
    """Return pictures [captions x seeds, 3, 32, 32] of a model, as 8-bit files have them."""
    family = load_model(model)
    pictures = []
    for number, caption in enumerate(captions):
        ids = torch.tensor([family.config.condition.encode(caption)] * seeds)
        noise = Noise([1000 * number + seed for seed in range(seeds)])
        options = {} if guidance is None else {"guidance": guidance}
        pictures.append(family.sample(ids, noise, steps=family.config.steps, **options))
    return (torch.cat(pictures).add(1).mul(127.5).round() / 127.5) - 1


def shares(
    scorer: Scorer,
    vocabulary: CaptionCondition,
    candidates: Sequence[Emoji],
    own: Sequence[Emoji],
    images: Tensor,
) -> dict[str, float | list[str]]:
    """Return the shares of pictures whose own name is ranked first, and the pairs that are not."""
    result: dict[str, float | list[str]] = {}
    for k, language in enumerate(LANGUAGES):
        captions = torch.tensor([vocabulary.encode(one.names[k]) for one in candidates])
        with torch.no_grad():
            best = [candidates[row] for row in scorer(images, captions).argmax(dim=1).tolist()]
        wrong = [f"{a.names[0]}: {b.names[0]}" for a, b in zip(own, best, strict=True) if a != b]
        result[language] = 1 - len(wrong) / len(own)
        result[f"{language} wrong"] = wrong
    return result


if __name__ == "__main__":
    main()
