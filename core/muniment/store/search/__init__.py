"""Full-text search of generations: tokenizer, index, phrases and the search engine."""
