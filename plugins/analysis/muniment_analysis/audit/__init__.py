"""The audit report: what was generated, blocked, flagged and reviewed, and whether it verifies."""
