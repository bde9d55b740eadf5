"""The feedback and the generations of users in a home."""
