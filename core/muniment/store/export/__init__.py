"""Export generations to a file or stream as JSON lines, CSV or Parquet.

`formats` encodes generations. `batches` reads and encodes them page by page, with several
processes for a large export. `exporter` writes the pages to a file so that an interrupted export
can be resumed.
"""

from __future__ import annotations

from muniment.store.export.exporter import Export, ExportError, OutputFiles, stream, unfinished
from muniment.store.export.formats import FORMATS

__all__ = ["FORMATS", "Export", "ExportError", "OutputFiles", "stream", "unfinished"]
