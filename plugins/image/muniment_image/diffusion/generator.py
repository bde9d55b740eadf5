"""The generator that draws pictures with a pipeline of the library diffusers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import muniment
from muniment_image.png import encode

from .adapters import applied_lora
from .additions import add
from .canvas import read_inputs
from .defaults import complete, read_defaults
from .drawing import DrawingError, draw
from .environment import pipeline_facts
from .folders import INDEX, is_part
from .hub import find
from .libraries import check_libraries
from .loading import check_part, load_controlnet, load_pipeline
from .parameters import INPUTS, DiffusersParameters
from .schedulers import check_scheduler


class DiffusersGenerator(muniment.Generator):
    """A generator of pictures from texts, with a pipeline of diffusers such as Stable Diffusion.

    The inputs `init` and `mask` begin with a picture, and draw into the white part of the mask.
    Outside of it the pixels are those of `init`. A ControlNet reads the input `control`. The input
    `reference` is for measures only. Requests are drawn one after the other, because the pixels of
    a batch depend on its size.
    """

    name = "diffusers"
    media_type = "image/png"
    determinism = "exact"
    uses_model = True
    model_files = (INDEX,)
    inputs = INPUTS
    Parameters = DiffusersParameters

    def __init__(self) -> None:
        self._pipeline: Any = None
        self._scheduler: Any = None  # the model's own one, which no request changes
        self._controlnet: tuple[str, Any] = ("", None)  # the last one, by its digest

    def resolve(
        self, request: muniment.Request, model: muniment.Model | None
    ) -> muniment.Resolution:
        """Return steps, guidance, size and strength by the model and the inputs.

        Raises UsageError for values that do not fit the model, as far as its small files show it.
        """
        folder = _folder(model)
        check_libraries(str(folder))
        _check_system(request)
        settings = complete(request.parameters, read_inputs(request.inputs), read_defaults(folder))
        check_scheduler(folder, request.parameters.scheduler)
        added = {
            name: value
            for name, value in settings.items()
            if getattr(request.parameters, name) is None and value is not None
        }
        return muniment.Resolution(added)

    def load(self, model: muniment.Model) -> None:
        """Load a pipeline's folder. Raise ModelError if it cannot be used.

        An added ControlNet or adapter is only checked, because `resolve` refuses it as a model.
        """
        path = Path(model.path)
        if is_part(path):
            check_part(path)
            return
        self._pipeline = load_pipeline(path)
        self._scheduler = self._pipeline.scheduler

    def generate(self, requests: Sequence[muniment.Request]) -> Iterable[muniment.Reply]:
        """Draw one picture for each request. A failure concerns its own request only."""
        for request in requests:
            try:
                yield request.reply(muniment.Output(self.media_type, self._draw(request)))
            except (DrawingError, muniment.MunimentError) as error:
                yield request.fail(str(error))

    def environment(self) -> Mapping[str, str | int]:
        """Return the device, threads, versions and number format, on which the bytes depend."""
        return {} if self._pipeline is None else pipeline_facts(self._pipeline)

    def packaged_models(self) -> Sequence[muniment.PackagedModel]:
        """Return no model. Each model is added or named by the user."""
        return ()

    def add_model(
        self, source: str, into: Path, progress: Callable[[str, float], None]
    ) -> Mapping[str, Any]:
        """Put a pipeline, a ControlNet or an adapter into a folder. Raise ModelError."""
        add(source, into, progress)
        return {"name": Path(source).name.removesuffix(".safetensors"), "is_part": is_part(into)}

    def find_model(self, source: str) -> Path:
        """Return the folder of a hub id, from the local cache or the hub. Raise ModelError."""
        check_libraries(source)
        return find(source)

    def close(self) -> None:
        """Release the pipeline and the ControlNet."""
        self._pipeline = self._scheduler = None
        self._controlnet = ("", None)

    def _draw(self, request: muniment.Request) -> bytes:
        """Return the picture of a request as PNG. Raise DrawingError or MunimentError."""
        _check_system(request)
        pixels = read_inputs(request.inputs)
        settings = complete(request.parameters, pixels, read_defaults(_folder(request.model)))
        if self._pipeline is None:
            raise RuntimeError("the generator diffusers was asked before its model was loaded")
        lora = request.models.get("lora")
        path = None if lora is None else Path(lora.path)
        with applied_lora(self._pipeline, path, request.parameters.lora_scale):
            controlnet = self._load_controlnet(request.models.get("controlnet"))
            return encode(
                draw(self._pipeline, self._scheduler, controlnet, request, settings, pixels)
            )

    def _load_controlnet(self, model: muniment.Model | None) -> Any:
        """Return the ControlNet of a request, or None. The last one stays loaded."""
        if model is None:
            return None
        if self._controlnet[0] != model.digest:
            self._controlnet = (model.digest, load_controlnet(Path(model.path)))
        return self._controlnet[1]


def _check_system(request: muniment.Request) -> None:
    if request.system:
        raise muniment.UsageError("the generator diffusers takes no system prompt; remove it")


def _folder(model: muniment.Model | None) -> Path:
    if model is None:
        raise muniment.UsageError("the generator diffusers needs a model; name one with -m")
    return Path(model.path)
