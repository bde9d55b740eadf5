"""The number of generations that a wanted precision needs."""
