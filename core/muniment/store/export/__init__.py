"""Export generations to a file or stream as JSON lines, CSV or Parquet.

`reader` reads generations as the types of `records`, and `formats` encodes them. `batches` does
both page by page, with several processes for a large export. `exporter` writes the pages to a
file so that an interrupted export can be resumed.
"""

from __future__ import annotations

from muniment.store.export.exporter import Export, ExportError, stream, unfinished
from muniment.store.export.formats import FORMATS

__all__ = ["FORMATS", "Export", "ExportError", "stream", "unfinished"]
