"""The request for a list: its parameters, its inputs and its query."""
