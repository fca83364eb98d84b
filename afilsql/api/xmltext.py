"""XML from outside, read so that it can do no harm: no document type, no entity, nothing fetched, size and depth bounded.

Needs lxml, which comes with the extra `soap`.
"""

from __future__ import annotations

import re

from lxml import etree

#: Tags a document may have: 10 MB of answer with a real list have fewer, of nothing but tags millions.
MAX_TAGS = 1_000_000

#: A character XML 1.0 cannot carry, not even escaped.
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def parse(document: bytes) -> etree._Element:
    """Return the root of a document.

    Raises:
        ValueError: It is not XML, or more than a program has to say to another. The text says what, and quotes nothing.
    """
    if document.count(b"<") > MAX_TAGS:
        raise ValueError(f"it has more than {MAX_TAGS} tags")
    # libxml2 itself stops at 256 levels, at 10 MB of one text, and at entities that swell; huge_tree would lift that.
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(document, parser)
    except (etree.XMLSyntaxError, ValueError):
        root = None
    if root is None:
        raise ValueError("it is not XML")
    if root.getroottree().docinfo.doctype:
        raise ValueError("it has a document type")
    return root


def unfit(text: str) -> str | None:
    """Return the first character XML cannot carry as U+0008, None when there is none."""
    found = _UNFIT.search(text)
    return f"U+{ord(found[0]):04X}" if found else None


def fit(text: str) -> str:
    """Return the text with a replacement character for each that XML cannot carry."""
    return _UNFIT.sub("\ufffd", text)


def name(element: etree._Element) -> str:
    """Return an element's name without its namespace."""
    return str(etree.QName(element).localname)
