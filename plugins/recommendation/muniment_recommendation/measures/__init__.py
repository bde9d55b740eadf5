"""The measures of recommendations and the protocols that compute them."""

PROTOCOLS = ("leave-one-out", "global-time", "cold-item")
"""The names of the protocols. Importing them imports no numpy."""
