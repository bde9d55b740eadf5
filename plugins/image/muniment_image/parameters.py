"""Parameters and inputs of the generator `image`.

They have their own module so that listing them imports no model code.
"""

from __future__ import annotations

import muniment

PICTURES = ("image/png", "image/jpeg", "image/webp", "image/gif")


class ImageParameters(muniment.Parameters):
    """Parameters of sampling. A value of None is the default of the model."""

    guidance: float | None = muniment.param(
        None,
        ge=0,
        le=100,
        help="weight of the prompt; 1 = as trained, more = closer to the prompt; "
        "set by the model if omitted",
    )
    steps: int | None = muniment.param(
        None, ge=1, le=1000, help="number of steps of the sampler; set by the model if omitted"
    )
    strength: float | None = muniment.param(
        None,
        ge=0.01,
        le=1,
        help="amount of change of the input init; 1 = all of it; 0.6 if omitted, "
        "1 with the input mask",
    )


INPUTS = (
    muniment.InputSpec("init", PICTURES, help="picture to start from", option="--init FILE"),
    muniment.InputSpec(
        "mask",
        PICTURES,
        help="picture of the size of init, white where init is drawn anew",
        option="--mask FILE",
    ),
    muniment.InputSpec(
        "reference",
        PICTURES,
        help="picture that measures compare the output with",
        option="--reference FILE",
    ),
)
