"""Sessions, the public API in Python."""
