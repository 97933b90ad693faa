"""Readers of documents: folders, archives, tables, JSON Lines, Parquet and datasets on the disk.

`reader` opens any of them as a `DocumentSource`. It finds the files as `entries`, in `folders` or
`archives`; `compression` unpacks them, `encodings` and `texts` decode them, and `tables`, `columns`
and `fields` take the documents from rows. A `tally` counts what is left out.
"""

from anexa.data.sources.reader import DocumentSource, ReadOptions, open_documents

__all__ = ["DocumentSource", "ReadOptions", "open_documents"]
