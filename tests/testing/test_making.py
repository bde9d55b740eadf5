"""Objects that are made for tests of plugins are like those of the pipeline."""

from __future__ import annotations

import pytest

import muniment
import muniment.testing
from muniment_moderation import plugin
from support.bad_plugins import Bombs, Length, Shuffle


def test_a_request_has_an_id_of_its_own_and_what_was_given() -> None:
    first = muniment.testing.request("to be", parameters=Shuffle.Parameters(times=2))
    second = muniment.testing.request("to be", seed=8, system="Be kind.")
    assert first.id != second.id
    assert (first.seed, second.seed, second.system) == (7, 8, "Be kind.")
    (reply,) = Shuffle().generate([first])
    assert sorted(reply.outputs[0].text.split()) == ["be", "be", "to", "to"]


def test_a_content_is_text_or_bytes_with_their_media_type() -> None:
    assert Bombs(Bombs.Parameters()).check(muniment.testing.content("a bomb")).decision == "block"
    image = muniment.testing.content(b"\x89PNG", stage="prompt", media_type="image/png")
    assert (image.stage, image.media_type, image.is_text) == ("prompt", "image/png", False)
    assert muniment.testing.content("卫星").text == "卫星"


def test_a_generation_is_completed_and_has_the_outputs_given() -> None:
    made = muniment.testing.generation("one", muniment.Text("two", "stop"), prompt="count")
    assert (made.status, made.text, made.prompt) == ("completed", "one\n\ntwo", "count")
    assert Length().evaluate(made) == {"characters": 8, "variety": 6 / 8}
    with pytest.raises(TypeError, match="colour"):
        muniment.testing.generation("one", colour="red")


def test_a_hook_can_be_called_with_a_register_of_ones_own() -> None:
    found = {}

    def register(
        target: type | str,
        /,
        *,
        name: str | None = None,
        media_type: str | None = None,
        parameters: type[muniment.Parameters] | None = None,
    ) -> None:
        found[name] = target

    given: muniment.Register = register
    plugin.muniment_filters(given)
    assert found == {"blocklist": "muniment_moderation.blocklist:Blocklist"}
