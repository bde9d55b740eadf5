"""Queries for generations and runs: planning, loading, lineage and statistics."""
