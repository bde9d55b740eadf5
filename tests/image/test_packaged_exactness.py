"""Pictures of the packaged models are the same in every pixel, whatever stands beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import muniment

pytestmark = pytest.mark.integration
SEEDS = range(16)


@pytest.fixture(params=[("emoji-32", "红心"), ("fashion-28", "ankle boot")])
def spec(request: pytest.FixtureRequest) -> muniment.GenerationSpec:
    model, prompt = request.param
    return muniment.GenerationSpec(prompt, generator="image", model=model)


def drawn(
    home: Path, spec: muniment.GenerationSpec, seeds: range, *, isolate: bool = False
) -> Iterator[bytes]:
    """Yield a picture for each seed, drawn in one batch by a new session."""
    from dataclasses import replace

    with muniment.open(home, isolate=isolate) as session:
        for made in session.run([replace(spec, seed=seed) for seed in seeds]):
            assert isinstance(made, muniment.Generation)
            assert made.status == "completed"
            yield made.outputs[0].data


def test_a_picture_is_equal_alone_in_batches_after_a_restart_and_from_a_worker(
    home: Path, spec: muniment.GenerationSpec
) -> None:
    whole = list(drawn(home, spec, SEEDS))
    assert len(set(whole)) > 1
    for size in (1, 2, 7):
        batch = range(3, 3 + size)
        assert list(drawn(home, spec, batch)) == whole[3 : 3 + size]
    assert list(drawn(home, spec, range(2), isolate=True)) == whole[:2]
