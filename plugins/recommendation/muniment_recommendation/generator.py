"""The generator `recommendation`, which ranks the items of a fitted model."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import muniment

from .errors import QueryError
from .ranking.document import MEDIA_TYPE, write_ranking
from .requests.item_ids import write_ids
from .requests.parameters import INPUTS, RecommendationParameters

if TYPE_CHECKING:
    from .lists.list_maker import ListMaker
    from .model_folder.histories import Histories


class RecommendationGenerator(muniment.Generator):
    """A generator of ranked lists for a user, a history, a free text, or any of these together.

    A user of the model brings its history and the items that it disliked. A given history replaces
    that of the user. The history that was used becomes an input of the request.
    """

    name = "recommendation"
    media_type = MEDIA_TYPE
    prompt = "optional"
    determinism = "exact"
    uses_model = True
    model_files = ("model.json", "model.safetensors", "catalogue.json", "users.json")
    model_command = "muniment recommendation fit --data FOLDER --out MODEL"
    inputs = INPUTS
    Parameters = RecommendationParameters

    def __init__(self) -> None:
        self._lists: ListMaker | None = None
        self._histories: tuple[muniment.Model, Histories] | None = None
        """The histories of the model of the latest request."""

    def load(self, model: muniment.Model) -> None:
        """Load the model's folder. Raise ModelError if it cannot be used."""
        from threadpoolctl import ThreadpoolController

        from .lists.list_maker import ListMaker
        from .model_folder.reading import load

        self._lists = ListMaker(load(Path(model.path)))
        self._threads = ThreadpoolController()

    def resolve(
        self, request: muniment.Request, model: muniment.Model | None
    ) -> muniment.Resolution:
        """Return the history of the user, and the defaults that depend on it.

        Raises QueryError for a user that the model does not have, unless a history is given. An
        unknown id that ends a line, such as the text of a file, is always refused. Raises
        QueryError for an unknown item, too.
        """
        from .requests.query import default_diversity, item_numbers, user_of

        if model is None:
            raise RuntimeError("the generator recommendation was called without a model")
        user, inputs = user_of(request.inputs), {}
        needs_history = "history" not in request.inputs
        if user and (needs_history or user.endswith(("\n", "\r"))):
            history = self._histories_of(model).of(user)
            if needs_history and history:
                inputs = {"history": write_ids(history).encode()}
        if request.inputs.keys() & {"history", "only"}:
            item_numbers(request.inputs, self._histories_of(model).items)
        has_history = "history" in {**request.inputs, **inputs}
        values = {"diversity": default_diversity(has_history, request.prompt)}
        return muniment.Resolution(values if request.parameters.diversity is None else {}, inputs)

    def generate(self, requests: Sequence[muniment.Request]) -> Iterable[muniment.Reply]:
        """Rank the items for each request alone. A request that cannot be answered fails."""
        from .requests.query import options_of, query_of

        lists = self.lists
        for request in requests:
            try:
                query = query_of(request, lists.model.catalogue, lists.model.interactions)
                # Sums depend on the number of threads among which a product is divided.
                with self._threads.limit(limits=1):
                    ranking = lists.ranking(query, options_of(request))
            except QueryError as error:
                yield request.fail(str(error))
                continue
            output = muniment.Output(self.media_type, write_ranking(ranking))
            yield request.reply(output, wanted=request.parameters.k)

    @property
    def lists(self) -> ListMaker:
        """The loaded model. Raises RuntimeError before `load`."""
        if self._lists is None:
            raise RuntimeError(
                "the generator recommendation was called before its model was loaded"
            )
        return self._lists

    def environment(self) -> Mapping[str, str | int]:
        """Return the versions of the libraries that compute the scores."""
        return {name: version(name) for name in self.lists.model.libraries}

    def packaged_models(self) -> Sequence[muniment.PackagedModel]:
        """Return no models, because none is packaged."""
        return []

    def add_model(
        self, source: str, into: Path, progress: Callable[[str, float], None]
    ) -> Mapping[str, Any]:
        """Copy a folder of `muniment recommendation fit` unchanged into `into`."""
        from .model_folder.reading import load

        folder = Path(source).expanduser()
        progress("checking", 0.0)
        load(folder)
        muniment.model_digest(folder)  # refuses links out of the folder, which would be copied
        progress("copying", 0.5)
        shutil.copytree(folder, into, dirs_exist_ok=True)
        return {"name": folder.resolve().name}

    def find_model(self, source: str) -> Path:
        """Raise ModelError, because only models in folders can be used."""
        raise muniment.ModelError(
            source,
            f"there is no folder {source}, and generator recommendation downloads no models; use "
            "the folder that `muniment recommendation fit --out` wrote",
        )

    def close(self) -> None:
        """Release the model, and the ids of its users."""
        self._lists = self._histories = None

    def _histories_of(self, model: muniment.Model) -> Histories:
        """Return the histories of a model, which the requests of a batch share."""
        from .model_folder.histories import Histories

        if self._histories is None or self._histories[0] != model:
            self._histories = (model, Histories(Path(model.path)))
        return self._histories[1]
