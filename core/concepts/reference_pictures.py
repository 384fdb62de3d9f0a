"""Reference pictures of a concept index as a collection: pictures that every setup with an index has at hand.

They are the index's thumbnails: finer than these, nothing is kept of them, nor what they show. They were chosen since
components fire in them, so that they are no sample of the pictures the index was made of.
"""

from ..pictures.collection import Files, spread
from .index import ConceptIndex


def reference_pictures(index: ConceptIndex, most: int) -> Files:
    """At most that many of them, evenly spread, without labels."""
    rows = {f"reference picture {row}": row for row in spread(range(len(index.pictures)), most)}
    manifest = {"kind": "index", "name": index.manifest.source.get("name", ""), "pictures": str(len(rows))}
    return Files(tuple(rows), lambda name: index.pictures.webp(rows[name]), manifest)
