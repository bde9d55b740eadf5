"""The generator `diffusers`, which runs text-to-image pipelines of the library diffusers."""
