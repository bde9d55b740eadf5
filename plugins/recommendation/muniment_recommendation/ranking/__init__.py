"""The document of a ranked list, and its media type."""
