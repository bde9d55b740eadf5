"""Reading of the metadata in picture files, whichever program wrote them."""
