"""Taking generations out of the store into a file: JSON lines, CSV or Parquet.

`records` puts them together, `formats` turns them into bytes, `pages` does so for as many at a time
as memory should hold, in several processes where there are many, and `files` writes these so that
an export that was stopped can go on where it was.
"""

from __future__ import annotations

from muniment.store.export.exporter import Export, ExportError, stream, unfinished
from muniment.store.export.formats import FORMATS

__all__ = ["FORMATS", "Export", "ExportError", "stream", "unfinished"]
