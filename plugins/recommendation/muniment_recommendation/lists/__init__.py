"""Making a ranked list: scores, order and reasons."""
