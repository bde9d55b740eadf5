"""The measures of recommendations and the protocols that compute them."""
