"""The one path of every generation: requests, moderation, pipeline, evaluation and replay."""
