"""The families of image models: losses, sampling, noise, init and mask. Tiny networks only."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from muniment_image.conditions import CaptionCondition, Condition, LabelCondition, NoCondition
from muniment_image.families import family_class
from muniment_image.families.base import Family, Noise, SamplingError
from muniment_image.families.flow import Flow, drop_conditions
from muniment_image.families.layers import channels_of_sides
from muniment_image.model_config import FAMILIES, ModelConfig

SIZES = {
    "flow": {"width": 8, "blocks": 1, "embedding": 8},
    "vae": {"width": 8, "latent": 4, "embedding": 8},
    "dcgan": {"width": 8, "latent": 4, "embedding": 8},
}
LABELS = LabelCondition(("cat", "dog"))
CAPTIONS = CaptionCondition((("red", "红"), ("heart", "心")), 3)
ROWS = 4


def make(
    family: str = "flow", condition: Condition = LABELS, *, size: int = 8, channels: int = 1
) -> Family:
    torch.manual_seed(5)
    config = ModelConfig(family, size, channels, condition, SIZES[family], steps=2, guidance=2.0)
    model = family_class(family)(config)
    with torch.no_grad():  # the last layers begin as zeros, which would hide the condition
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model.eval()


def ids(condition: Condition = LABELS, rows: int = ROWS) -> Tensor:
    text = {"label": "dog", "caption": "red heart", "none": ""}[condition.kind]
    return torch.tensor([condition.encode(text)] * rows, dtype=torch.int64)


def pictures(rows: int = ROWS, *, size: int = 8, channels: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(3)
    return torch.rand(rows, channels, size, size, generator=random) * 2 - 1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("condition", [NoCondition(), LABELS, CAPTIONS], ids=lambda c: c.kind)
def test_training_step_updates_every_part(family: str, condition: Condition) -> None:
    model = make(family, condition).train()
    for part in model.parts:
        optimizer = model.optimizer(part)
        before = copy.deepcopy(getattr(model, part).state_dict())
        losses = model.losses(part, pictures(), ids(condition), torch.Generator().manual_seed(1))
        assert all(loss.ndim == 0 and torch.isfinite(loss) for loss in losses.values())
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        after = getattr(model, part).state_dict()
        assert any(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_depend_on_the_generator_alone(family: str) -> None:
    model = make(family)
    first, again, other = (
        model.losses(model.parts[-1], pictures(), ids(), torch.Generator().manual_seed(seed))[
            "loss"
        ]
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_of_one_row_are_finite(family: str) -> None:
    model = make(family).train()
    for part in model.parts:
        loss = model.losses(part, pictures(1), ids(rows=1), torch.Generator().manual_seed(1))
        loss["loss"].backward()
        assert torch.isfinite(loss["loss"])
    assert all(
        torch.isfinite(weight.grad).all()
        for weight in model.parameters()
        if weight.grad is not None
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("size", "channels"), [(8, 3), (12, 1), (28, 1), (32, 3)])
def test_sample_has_the_shape_of_the_configuration(family: str, size: int, channels: int) -> None:
    model = make(family, size=size, channels=channels)
    images = model.sample(ids(rows=2), Noise([1, 2]), steps=1)
    assert images.shape == (2, channels, size, size)
    assert images.min() >= -1
    assert images.max() <= 1


@pytest.mark.parametrize("family", FAMILIES)
def test_sample_row_depends_on_its_own_seed_alone(family: str) -> None:
    model = make(family)
    images = model.sample(ids(), Noise([1, 2, 3, 4]))
    others = model.sample(ids(), Noise([9, 2, 8, 7]))
    assert torch.equal(images[1], others[1])
    assert not torch.equal(images[0], others[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_sample_row_does_not_depend_on_its_position(family: str) -> None:
    model = make(family)
    first = model.sample(ids(), Noise([5, 2, 3, 4]))
    last = model.sample(ids(), Noise([2, 3, 4, 5]))
    assert torch.equal(first[0], last[3])


@pytest.mark.parametrize("family", FAMILIES)
def test_sample_depends_on_the_condition(family: str) -> None:
    model = make(family)
    cats = torch.full((ROWS, 1), 1)
    assert not torch.equal(
        model.sample(cats, Noise(range(ROWS))), model.sample(ids(), Noise(range(ROWS)))
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_sample_in_training_mode_changes_no_statistics(family: str) -> None:
    model = make(family).train()
    before = copy.deepcopy(model.state_dict())
    trained = model.sample(ids(), Noise(range(ROWS)))
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(trained, model.eval().sample(ids(), Noise(range(ROWS))))


@pytest.mark.parametrize("family", FAMILIES)
def test_sample_of_weights_that_are_not_finite_raises(family: str) -> None:
    model = make(family)
    with torch.no_grad():
        next(getattr(model, model.sampled_part).parameters()).fill_(float("nan"))
    with pytest.raises(SamplingError):
        model.sample(ids(), Noise(range(ROWS)))


def test_sample_with_conditions_of_another_length_raises() -> None:
    with pytest.raises(ValueError, match="conditions"):
        make().sample(torch.ones(ROWS, 2, dtype=torch.int64), Noise(range(ROWS)))


def test_guidance_of_one_is_conditional_and_of_zero_unconditional() -> None:
    model = make()
    none = model.sample(None, Noise(range(ROWS)), guidance=1)
    assert torch.allclose(model.sample(ids(), Noise(range(ROWS)), guidance=0), none, atol=1e-5)
    plain = model.sample(ids(), Noise(range(ROWS)), guidance=1)
    assert not torch.allclose(plain, none, atol=1e-3)
    strong = model.sample(ids(), Noise(range(ROWS)), guidance=3)
    assert not torch.allclose(plain, strong, atol=1e-3)


def test_guidance_without_a_condition_has_no_effect() -> None:
    model = make(condition=NoCondition())
    plain = model.sample(None, Noise(range(ROWS)), guidance=1)
    assert torch.equal(plain, model.sample(None, Noise(range(ROWS)), guidance=5))


def test_caption_without_order_has_one_picture() -> None:
    model = make(condition=CAPTIONS)
    english, chinese = (
        torch.tensor([CAPTIONS.encode(text)] * 2)
        for text in ("heart, red", "红色的心".replace("色", ""))
    )
    assert torch.equal(model.sample(english, Noise([1, 2])), model.sample(chinese, Noise([1, 2])))


# ---- init and mask --------------------------------------------------------------------------


def test_mask_returns_the_pixels_outside_unchanged() -> None:
    model, init = make(), pictures()
    mask = torch.zeros(ROWS, 1, 8, 8, dtype=torch.bool)
    mask[:, :, 2:5, 1:6] = True
    images = model.sample(ids(), Noise(range(ROWS)), init=init, mask=mask)
    outside = ~mask.expand_as(init)
    assert torch.equal(images[outside], init[outside])
    assert not torch.allclose(images[~outside], init[~outside], atol=1e-2)


def test_mask_with_strength_returns_the_pixels_outside_unchanged() -> None:
    model, init = make(channels=3), pictures(channels=3)
    mask = torch.zeros(ROWS, 1, 8, 8, dtype=torch.bool)
    mask[:, :, :4] = True
    images = model.sample(ids(), Noise(range(ROWS)), init=init, mask=mask, strength=0.5)
    assert torch.equal(images[:, :, 4:], init[:, :, 4:])


def test_strength_keeps_the_picture_in_proportion() -> None:
    model, init = make(), pictures()
    distances = [
        (model.sample(ids(), Noise(range(ROWS)), steps=10, init=init, strength=strength) - init)
        .abs()
        .mean()
        for strength in (0.1, 0.5, 1.0)
    ]
    assert distances == sorted(distances)
    assert distances[0] < 0.4


def test_strength_of_one_ignores_the_picture() -> None:
    model = make()
    assert torch.equal(
        model.sample(ids(), Noise(range(ROWS))),
        model.sample(ids(), Noise(range(ROWS)), init=pictures(), strength=1.0),
    )


@pytest.mark.parametrize(("strength", "steps"), [(0.04, 10), (0.2, 2), (0.5, 1)])
def test_strength_that_rounds_to_no_step_takes_one(strength: float, steps: int) -> None:
    init = pictures()
    images = make().sample(ids(), Noise(range(ROWS)), init=init, strength=strength, steps=steps)
    assert not torch.equal(images, init)


@pytest.mark.parametrize("strength", [0, -0.5, 1.5, float("nan")])
def test_strength_out_of_range_raises(strength: float) -> None:
    with pytest.raises(SamplingError, match="strength"):
        make().sample(ids(), Noise(range(ROWS)), init=pictures(), strength=strength)


def test_steps_below_one_raise() -> None:
    with pytest.raises(SamplingError, match="steps"):
        make().sample(ids(), Noise(range(ROWS)), steps=0)


def test_mask_without_a_picture_raises() -> None:
    mask = torch.ones(ROWS, 1, 8, 8, dtype=torch.bool)
    with pytest.raises(SamplingError, match="init"):
        make().sample(ids(), Noise(range(ROWS)), mask=mask)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "flow"])
def test_init_of_a_family_without_init_raises(family: str) -> None:
    with pytest.raises(SamplingError, match=family):
        make(family).sample(ids(), Noise(range(ROWS)), init=pictures())


def test_init_of_another_size_raises() -> None:
    with pytest.raises(ValueError, match="init"):
        make().sample(ids(), Noise(range(ROWS)), init=pictures(size=12))


def test_init_or_mask_with_other_channels_raises() -> None:
    with pytest.raises(ValueError, match="init"):  # one channel would be broadcast to three
        make(channels=3).sample(ids(), Noise(range(ROWS)), init=pictures())
    mask = torch.ones(ROWS, 3, 8, 8, dtype=torch.bool)
    with pytest.raises(ValueError, match="mask"):
        make().sample(ids(), Noise(range(ROWS)), init=pictures(), mask=mask)


# ---- noise and conditions of training --------------------------------------------------------


def test_noise_of_seeds_that_differ_in_the_upper_half_differs() -> None:
    rows = Noise([1, 1 + 2**32, 2**64 - 1, 1]).normal(3, 5)
    assert rows.shape == (4, 3, 5)
    assert torch.equal(rows[0], rows[3])
    assert not torch.equal(rows[0], rows[1])


def test_noise_draws_continue_for_each_row() -> None:
    noise = Noise([1, 2])
    first, second = noise.normal(4), noise.normal(4)
    assert not torch.equal(first, second)
    assert torch.equal(Noise([1, 2]).normal(4), first)


def test_noise_is_standard_normal() -> None:
    numbers = Noise([7]).normal(20_000)
    assert abs(numbers.mean()) < 0.03
    assert abs(numbers.std() - 1) < 0.03


def test_dropped_conditions_are_rows_of_zeros() -> None:
    dropped = drop_conditions(torch.ones(2000, 2), 0.1, torch.Generator().manual_seed(1))
    assert torch.equal(dropped[:, 0], dropped[:, 1])
    assert 0.85 < dropped.mean() < 0.95


# ---- configuration ---------------------------------------------------------------------------


def test_flow_learns_a_constant_picture() -> None:
    torch.manual_seed(1)
    model = Flow(ModelConfig("flow", 8, 1, NoCondition(), SIZES["flow"]))
    optimizer, random = model.optimizer("network", 1e-2), torch.Generator().manual_seed(1)
    target = torch.cat([torch.ones(16, 1, 4, 8), -torch.ones(16, 1, 4, 8)], 2)
    for _ in range(150):
        optimizer.zero_grad()
        model.losses("network", target, None, random)["loss"].backward()
        optimizer.step()
    images = model.sample(None, Noise([1, 2]), steps=8)
    assert (images - target[:2]).abs().mean() < 0.4  # 0.9 before training


def test_configuration_with_an_unknown_network_size_raises() -> None:
    with pytest.raises(ValueError, match="depth"):
        Flow(ModelConfig("flow", 8, 1, LABELS, {"depth": 3}))


@pytest.mark.parametrize(
    "change",
    [
        {"family": "wgan"},
        {"image_size": 30},
        {"image_size": 4},
        {"image_size": 100_000},
        {"channels": 4},
        {"steps": 0},
        {"steps": 10_000},
        {"batch": 0},
        {"batch": 1_000_000},
        {"guidance": float("nan")},
    ],
    ids=str,
)
def test_configuration_out_of_range_raises(change: dict[str, object]) -> None:
    fields = {"family": "flow", "image_size": 8, "channels": 1, "condition": LABELS}
    with pytest.raises(ValueError, match=r"is|must"):
        ModelConfig(**{**fields, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("condition", [NoCondition(), LABELS, CAPTIONS], ids=lambda c: c.kind)
def test_configuration_is_read_as_written(condition: Condition) -> None:
    config = ModelConfig("flow", 8, 3, condition, {"width": 8}, steps=3, guidance=1.5, batch=4)
    assert ModelConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("size", "channels"),
    [
        (8, {8: 2}),
        (28, {28: 2, 14: 4, 7: 8}),
        (64, {64: 2, 32: 4, 16: 8, 8: 8}),
        (36, {36: 2, 18: 4, 9: 8}),
    ],
)
def test_sides_are_halved_and_channels_doubled_twice(size: int, channels: dict[int, int]) -> None:
    assert channels_of_sides(size, 2) == channels


def test_family_of_an_unknown_name_raises_key_error() -> None:
    with pytest.raises(KeyError):
        family_class("wgan")
