"""Image generation for Muniment."""
