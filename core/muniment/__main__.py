"""`python -m muniment`: the command line, where the script is not on the path."""

import sys

from muniment.cli import main

if __name__ == "__main__":
    sys.exit(main())
