"""The version of Muniment."""

__version__ = "0.1.0"
