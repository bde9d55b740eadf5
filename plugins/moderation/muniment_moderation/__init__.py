"""Content filters for Muniment."""
