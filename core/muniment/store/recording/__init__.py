"""Append entries and payloads to the store, and update the query tables with them."""
