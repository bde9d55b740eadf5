"""Update the catalogues of distributions.

    python -m muniment.testing.translations muniment-mine

writes `locale/zh/LC_MESSAGES/muniment-mine.po` in the package of the distribution, and the `.mo`
that Muniment reads. Unchanged texts keep their translations. A changed text gets the translation
of a similar one, marked as fuzzy for review. The exit code is 1 if a text has no translation yet.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from muniment.errors import UsageError
from muniment.testing.translations.catalogue import LANGUAGE, update


def main(arguments: Sequence[str] | None = None) -> int:
    """Update the catalogues of distributions. Return 1 if a translation is missing."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("distribution", nargs="+")
    parser.add_argument("--language", default=LANGUAGE)
    options = parser.parse_args(arguments)
    incomplete = False
    for distribution in options.distribution:
        try:
            file, missing = update(distribution, options.language)
        except UsageError as error:
            parser.error(str(error))
        sys.stdout.write(f"{file}: {len(missing)} texts to translate or review\n")
        incomplete = incomplete or bool(missing)
    return int(incomplete)


if __name__ == "__main__":
    sys.exit(main())
