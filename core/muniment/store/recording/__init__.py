"""Recording: append entries and payloads, and keep the query tables in step."""
