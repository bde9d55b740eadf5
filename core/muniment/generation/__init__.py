"""Generation: requests, moderation, the pipeline, evaluation and replay."""
