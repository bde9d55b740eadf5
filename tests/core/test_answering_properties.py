"""Whatever a generator does, every request gets one answer, and only ever its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hypothesis import given, strategies as st

from muniment import Chunk, Generator, Output, Reply, Request, Text
from muniment.plugins.discovery import Plugin
from muniment.plugins.invocation import MissingReply, run_generator
from muniment.plugins.objects import RegisteredObject

Step = tuple[str, int]

steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["reply", "reply", "reply", "piece", "fail", "bare", "empty", "none", "raise"]
        ),
        st.integers(0, 5),
    ),
    max_size=10,
)


class Scripted(Generator):
    """Takes the steps of a script, one script for each time it is asked."""

    name, media_type = "scripted", "text/plain"

    def __init__(self, scripts: Sequence[Sequence[Step]]) -> None:
        self.scripts = list(scripts)

    def generate(self, requests: Sequence[Request]) -> Iterator[Reply | Chunk | Output]:
        script = self.scripts.pop(0) if self.scripts else []
        for step, number in script:
            request = requests[number % len(requests)]
            if step == "reply":
                yield request.reply(Text(request.prompt))
            elif step == "piece":
                yield request.chunk(request.prompt)
            elif step == "fail":
                yield request.fail(request.prompt)
            elif step == "bare":
                yield Text(request.prompt)
            elif step == "empty":
                yield request.reply()
            elif step == "none":
                yield None  # type: ignore[misc]
            else:
                raise RuntimeError(request.prompt)


@given(st.lists(steps, max_size=6), st.integers(1, 5), st.booleans())
def test_every_request_gets_one_answer_and_only_its_own(
    scripts: list[list[Step]], count: int, stream: bool
) -> None:
    requests = [
        Request(f"id-{number}", f"prompt {number}", seed=number, stream=stream)
        for number in range(count)
    ]
    prompts = {request.id: request.prompt for request in requests}
    registered = RegisteredObject(
        "generator", "scripted", Plugin("d", "1", "p", "m"), Scripted, "text/plain"
    )
    answered: list[str] = []
    for answer in run_generator(Scripted(scripts), registered, requests):
        prompt = prompts[answer.request_id]
        if isinstance(answer, Chunk):
            assert stream
            assert answer.text == prompt
            assert answer.request_id not in answered
            continue
        answered.append(answer.request_id)
        if isinstance(answer, MissingReply):
            assert answer.reason
        elif answer.failure is not None:
            assert answer.failure == prompt
        else:
            assert [output.text for output in answer.outputs] == [prompt]
    assert sorted(answered) == sorted(prompts)
