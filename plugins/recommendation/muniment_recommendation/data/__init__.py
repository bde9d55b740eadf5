"""Reading tables of interactions and items, and dividing them."""
