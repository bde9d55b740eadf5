"""The generator `image`, which draws with models that Muniment trains."""

from __future__ import annotations

import functools
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import muniment

from .conditions import ConditionError, UnknownWordError
from .drawings import Drawing, drawing_of, resolved_parameters
from .model_folder import CARD, CONFIG, WEIGHTS, load_model, read_config
from .parameters import INPUTS, ImageParameters
from .png import encode

if TYPE_CHECKING:
    from .model_config import ModelConfig
    from .sampler import Sampler

PACKAGED = ("emoji-32", "fashion-28")
"""The models in the package, the default one first."""
PACKAGED_FOLDER = Path(str(files(__package__))) / "models"

_ROLES = {"weights": WEIGHTS, "configuration": CONFIG, "card": CARD}


class ImageGenerator(muniment.Generator):
    """A generator of images from a label, a caption or no prompt, as its model was trained.

    The input `init` is scaled so that it covers the size of the model, and cut to its middle. The
    output then has a share of it, as `strength` says. With the input `mask`, pixels that are not
    light in it stay those of `init`. The input `reference` is for measures only.
    """

    name = "image"
    media_type = "image/png"
    prompt = "optional"
    determinism = "exact"
    uses_model = True
    model_files = (CONFIG, WEIGHTS)
    inputs = INPUTS
    Parameters = ImageParameters

    def __init__(self) -> None:
        self._sampler: Sampler | None = None

    def load(self, model: muniment.Model) -> None:
        """Load the model's folder. Raise ModelError if it cannot be used."""
        import torch

        from .sampler import Sampler

        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._sampler = Sampler(load_model(Path(model.path), device=device))

    def resolve(
        self, request: muniment.Request, model: muniment.Model | None
    ) -> muniment.Resolution:
        """Return the defaults of the model. Raise UsageError if it cannot draw the request."""
        if model is None:
            raise RuntimeError("the generator image was called without a model")
        config = _read_config(model)
        try:
            drawing_of(request, config)
        except UnknownWordError as error:
            command = shlex.join(["muniment", "image", "words", "-m", model.name])
            end = "" if error.suggestions else ";"
            message = f"{error}{end} `{command}` lists all"
            raise ConditionError(error.text, message) from None
        return muniment.Resolution(resolved_parameters(request, config))

    def generate(self, requests: Sequence[muniment.Request]) -> Iterable[muniment.Reply]:
        """Draw the requests in batches. A request that cannot be drawn fails alone."""
        sampler = self.sampler
        by_drawing: dict[Drawing, muniment.Request] = {}
        for request in requests:
            try:
                by_drawing[drawing_of(request, sampler.family.config)] = request
            except muniment.UsageError as error:
                yield request.fail(str(error))
        for drawing, result in sampler.draw(list(by_drawing)):
            request = by_drawing[drawing]
            if isinstance(result, Exception):
                yield request.fail(str(result))
            else:
                yield request.reply(muniment.Output(self.media_type, encode(result)))

    def embed(self, outputs: Sequence[muniment.Output]) -> Sequence[Sequence[float]]:
        """Return the arrangement of the colours of each picture, which does not need the model.

        Raises UsageError for an output that is not a PNG file or is damaged.
        """
        from .descriptor import describe_picture
        from .pictures import PictureError, read_picture

        vectors = []
        for output in outputs:
            if output.media_type != self.media_type:
                raise muniment.UsageError(
                    f"an output of {output.media_type} is not a picture that the generator image "
                    "can embed; use a generator of its media type"
                )
            try:
                vectors.append(describe_picture(read_picture(output.data)).tolist())
            except PictureError as error:
                raise muniment.UsageError(f"an output cannot be embedded: {error}") from error
        return vectors

    @property
    def sampler(self) -> Sampler:
        """The sampler of the loaded model. Raises RuntimeError before `load`."""
        if self._sampler is None:
            raise RuntimeError("the generator image was called before its model was loaded")
        return self._sampler

    def environment(self) -> Mapping[str, str | int]:
        """Return the device, the rows of a batch, threads and versions that the bytes depend on."""
        if self._sampler is None:
            return {}
        from .environment import facts

        return {
            **facts(self._sampler.family.device),
            "pillow": version("Pillow"),  # reads and scales the pictures of inputs
            "rows": self._sampler.rows,
        }

    def packaged_models(self) -> Sequence[muniment.PackagedModel]:
        """Return the models in the package."""
        return [
            muniment.PackagedModel(name, name)
            for name in PACKAGED
            if (PACKAGED_FOLDER / name / CONFIG).is_file()
        ]

    def add_model(
        self, source: str, into: Path, progress: Callable[[str, float], None]
    ) -> Mapping[str, Any]:
        """Copy a packaged model, or a folder of `muniment image train`, unchanged into `into`."""
        folder = Path(source).expanduser()
        if source in PACKAGED and not folder.exists():
            folder = PACKAGED_FOLDER / source
        progress("checking", 0.0)
        load_model(folder)
        muniment.model_digest(folder)  # refuses links out of the folder, which would be copied
        progress("copying", 0.5)
        shutil.copytree(folder, into, dirs_exist_ok=True)
        return {
            "name": folder.resolve().name,
            "roles": {role: file for role, file in _ROLES.items() if (into / file).is_file()},
        }

    def find_model(self, source: str) -> Path:
        """Raise ModelError, because only models in folders can be used."""
        raise muniment.ModelError(
            source,
            f"there is no folder {source}, and generator image downloads no models; use the path "
            "of a folder, or the generator diffusers for a hub id",
        )

    def close(self) -> None:
        """Release the model."""
        self._sampler = None


def model_folder(session: muniment.Session, reference: str | None) -> Path:
    """Return the folder of a model of the generator `image`, without adding a packaged one.

    None is the default model. Raises ModelError or UsageError for a model that does not exist.
    """
    generator = ImageGenerator()
    chosen = session.models.choose(reference, ImageGenerator.name, generator)
    if isinstance(chosen, muniment.PackagedModel):
        return PACKAGED_FOLDER / chosen.source
    return Path(session.models.resolve(chosen, generator).path)


@functools.lru_cache(maxsize=4)  # a vocabulary takes longer to read than the rest of a request
def _read_config(model: muniment.Model) -> ModelConfig:
    return read_config(Path(model.path))
