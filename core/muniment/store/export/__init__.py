"""Taking generations out of the store into a file: JSON lines, CSV or Parquet.

`records` reads them in pages, `formats` turns a page into bytes, `files` writes these so that an
export that was stopped can go on where it was.
"""

from __future__ import annotations

from muniment.store.export.files import Export, ExportError, stream, unfinished
from muniment.store.export.formats import FORMATS

__all__ = ["FORMATS", "Export", "ExportError", "stream", "unfinished"]
