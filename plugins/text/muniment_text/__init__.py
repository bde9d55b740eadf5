"""Text generation for Muniment, with exact decoding of transformers language models on the CPU.

Importing this package imports neither torch nor transformers. `muniment_text.engine` does.
"""

__version__ = "0.1.0"
