"""XML from outside, read so that it can do no harm: no entities, nothing fetched, size and depth bounded.

Needs lxml, which comes with the extra `soap`.
"""

from __future__ import annotations

import re
from xml.parsers import expat

from lxml import etree

#: Elements a document may have, and attributes an element: a list of 10 MB has less, an attack more.
MAX_ELEMENTS = 300_000
MAX_ATTRIBUTES = 64

#: A character XML 1.0 cannot carry, not even escaped.
_NOT_XML = "it is not XML"
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Refused(ValueError):
    """The document is XML and must not be parsed."""


def parse(document: bytes) -> etree._Element:
    """Return the root of a document.

    Raises:
        ValueError: It is not XML, or more than a program has to say to another. The text says what, and quotes nothing.
    """
    check(document)
    # libxml2 itself stops at 256 levels and at 10 MB of one text; huge_tree would lift that.
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(document, parser)
    except (etree.XMLSyntaxError, LookupError, ValueError):
        root = None
    if root is None:
        raise ValueError(_NOT_XML)
    return root


def check(document: bytes) -> None:
    """Refuse a document that must not be parsed, in one pass that builds nothing.

    lxml alone would not do: what it needs grows with the elements, and with the square of an element's attributes.

    Raises:
        ValueError: As `parse`.
    """
    elements = 0

    def start(_name: str, attributes: list[str]) -> None:
        nonlocal elements
        elements += 1
        if elements > MAX_ELEMENTS:
            raise _Refused(f"it has more than {MAX_ELEMENTS:,} elements")
        if len(attributes) > 2 * MAX_ATTRIBUTES:
            raise _Refused(f"an element has more than {MAX_ATTRIBUTES} attributes")

    def doctype(*_of_it: object) -> None:
        raise _Refused("it has a document type")

    parser = expat.ParserCreate()
    parser.ordered_attributes = True
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(document, True)
    except _Refused:
        raise
    except (expat.ExpatError, LookupError, ValueError):  # the latter two of encodings it does not know
        pass
    else:
        return
    raise ValueError(_NOT_XML)


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
