"""The families of models, each in one module."""
