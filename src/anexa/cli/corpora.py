"""`anexa corpora`: the registry of named corpora."""

from __future__ import annotations

from anexa.cli import common_options as common
from anexa.cli.output import echo


def corpora(as_json: common.AsJson = False) -> None:
    """List the named corpora, and the folder where downloads are kept."""
    import json

    from anexa.data import CORPORA, cache_folder

    rows = [
        {
            "name": corpus.name,
            "summary": corpus.summary,
            "layout": corpus.layout,
            "bytes": file.stat().st_size if file.exists() else corpus.size,
            "source": corpus.source,
            "available": corpus.source is None or file.exists(),
        }
        for corpus in CORPORA.values()
        for file in [cache_folder() / corpus.filename]
    ]
    if as_json:
        echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        availability = "offline" if row["source"] is None else "is downloaded once"
        availability = "downloaded" if row["available"] and row["source"] else availability
        size = f"{row['bytes']:,} bytes" if row["bytes"] else "endless"
        echo(f"{row['name']:12}  {size:>15}  {availability:20}  {row['summary']}")
    echo(f"\nDownloads are kept in {cache_folder()}; a text file or a folder is a corpus too.")
