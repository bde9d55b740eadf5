"""Full-text search: tokenizer, index, phrases and the engine that runs a search."""
