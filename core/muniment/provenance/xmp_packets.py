"""XMP packets that label a file as generated, in the terms of the IPTC and of GB 45438-2025."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from xml.parsers import expat
from xml.sax.saxutils import escape

from muniment._version import __version__
from muniment.errors import ProvenanceError
from muniment.provenance.labels import aigc
from muniment.types.provenance import Provenance

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""The digital source type of the IPTC for content that a trained model generated."""

MAX_BYTES = 4_000_000
"""The maximum size of a packet that is read."""

_MAX_DEPTH = 100
_MAX_NAME = 1_000
_MAX_PROPERTIES = 10_000

_SOURCE = "Iptc4xmpExt:DigitalSourceType"
_AIGC = "TC260:AIGC"

_META = "adobe:ns:meta/"
_XML = "http://www.w3.org/XML/1998/namespace"
_XMLNS = "http://www.w3.org/2000/xmlns/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_TC260 = "http://www.tc260.org.cn/ns/AIGC/1.0/"
_XMP = "http://ns.adobe.com/xap/1.0/"

# The prefixes that the owners of the namespaces use. Those of a file are not shown, because a file
# may give any prefix to any namespace.
_PREFIXES = {
    _IPTC: "Iptc4xmpExt",
    _TC260: "TC260",
    _XMP: "xmp",
    "http://cipa.jp/exif/1.0/": "exifEX",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore",
    "http://ns.adobe.com/camera-raw-settings/1.0/": "crs",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://ns.adobe.com/exif/1.0/aux/": "aux",
    "http://ns.adobe.com/pdf/1.3/": "pdf",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/xap/1.0/mm/": "xmpMM",
    "http://ns.adobe.com/xap/1.0/rights/": "xmpRights",
    "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#": "stEvt",
    "http://ns.adobe.com/xap/1.0/sType/ResourceRef#": "stRef",
    "http://ns.adobe.com/xmp/note/": "xmpNote",
    "http://ns.useplus.org/ldf/xmp/1.0/": "plus",
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://purl.org/dc/terms/": "dcterms",
}

# Part 1 of the XMP specification, 7.3.2: the packet begins with a byte order mark and this id.
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="{rdf}">
  <rdf:Description rdf:about="" xmlns:xmp="{xmp}" xmlns:Iptc4xmpExt="{iptc}" xmlns:TC260="{tc260}">
   <xmp:CreatorTool>muniment {version}</xmp:CreatorTool>
   <Iptc4xmpExt:DigitalSourceType>{source}</Iptc4xmpExt:DigitalSourceType>
   <TC260:AIGC>{label}</TC260:AIGC>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


@dataclass(frozen=True, slots=True)
class XmpFacts:
    """The contents of an XMP packet, which anyone can have written.

    Attributes:
        digital_source_type: The IPTC's term for the origin of the file, or an empty text.
        aigc: The label AIGC of GB 45438-2025 as text, or an empty text.
        properties: The names and values of the first 10,000 properties. The parts of a structure
            have names such as `xmpMM:History/stEvt:action`, and an item of a list has the name of
            the list. A namespace without a usual prefix is written as `{URI}`.
    """

    digital_source_type: str
    aigc: str
    properties: tuple[tuple[str, str], ...]


def xmp(provenances: Sequence[Provenance]) -> bytes:
    """Return an XMP packet that labels a file as generated, in UTF-8.

    It contains the digital source type of the IPTC, the label AIGC, and Muniment as the tool. It
    contains neither prompts nor parameters.
    """
    packet = _PACKET.format(
        rdf=_RDF,
        xmp=_XMP,
        iptc=_IPTC,
        tc260=_TC260,
        version=__version__,
        source=GENERATED,
        label=escape(aigc(provenances)),
    )
    return packet.encode()


def read_xmp(packet: bytes) -> XmpFacts:
    """Return the contents of an XMP packet from a file that is not trusted.

    Characters that the encoding of the packet does not define are read as U+FFFD. Raises
    ProvenanceError if the packet is larger than 4 MB, is not XML, or declares a document type.
    """
    if len(packet) > MAX_BYTES:
        raise ProvenanceError(
            f"the XMP packet has {len(packet):,} bytes; at most {MAX_BYTES:,} are read"
        )
    reader = _Reader()
    try:
        reader.parse(_decode(packet))
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise ProvenanceError(f"the XMP packet is not valid XML: {reason}") from None
    return XmpFacts(
        digital_source_type=reader.labels.get(_SOURCE, ""),
        aigc=reader.labels.get(_AIGC, ""),
        properties=tuple(reader.properties),
    )


def _decode(packet: bytes) -> str:
    # The specification allows UTF-8, UTF-16 and UTF-32. The first character is a byte order mark or
    # an ASCII character, so the zero bytes among the first four show the encoding.
    zeros = "".join("0" if byte == 0 else "1" for byte in packet[:4])
    if packet.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        encoding = "utf-32"
    elif packet.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    else:
        encoding = {
            "1000": "utf-32-le",
            "0001": "utf-32-be",
            "1010": "utf-16-le",
            "0101": "utf-16-be",
        }.get(zeros, "utf-8")
    return packet.decode(encoding, errors="replace").strip("\0\t\n\r \ufeff")


class _Name(NamedTuple):
    """The name of an element or attribute."""

    uri: str  # of the namespace; empty without one and for a prefix that is not declared
    local: str


class _Element(NamedTuple):
    """An open element."""

    path: str  # the name of the property that its contents belong to
    is_value: bool  # whether its text is the value of that property, if it has no other contents
    values_before: int


class _Reader:
    """An XML parser that collects the properties of RDF and resolves no entities."""

    def __init__(self) -> None:
        self.properties: list[tuple[str, str]] = []
        self.labels: dict[str, str] = {}
        self._values = 0
        self._open: list[_Element] = []
        self._namespaces: list[dict[str, str]] = []
        self._text: list[str] = []

    def parse(self, text: str) -> None:
        """Parse a whole document. Raises ExpatError and ProvenanceError."""
        # The parser's own resolution of namespaces writes the URI before each attribute. That takes
        # gigabytes where a hostile packet has a long URI and many attributes.
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.Parse(text, True)

    def _refuse(self, *_: object) -> None:
        # Entities that contain each other expand to gigabytes, and others name files to read.
        raise ProvenanceError("the XMP packet declares a document type, which XMP does not allow")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._open) >= _MAX_DEPTH:
            raise ProvenanceError(f"the XMP packet has more than {_MAX_DEPTH} nested elements")
        self._text.clear()
        self._namespaces.append(
            {
                name[len("xmlns:") :]: uri
                for name, uri in attributes.items()
                if name == "xmlns" or name.startswith("xmlns:")
            }
        )
        path = self._open[-1].path if self._open else ""
        name = self._resolve(tag)
        is_property = name.uri not in (_META, _RDF)
        if is_property:
            path = _join(path, name)
        is_value = is_property or name in (_Name(_RDF, "li"), _Name(_RDF, "value"))
        self._open.append(_Element(path, is_value, self._values))
        for attribute, value in attributes.items():
            if ":" not in attribute:  # it has no namespace, so it is no property
                continue
            name = self._resolve(attribute)
            if name == _Name(_RDF, "resource"):
                self._add(path, value)
            elif name.uri not in (_META, _RDF, _XML, _XMLNS):
                self._add(_join(path, name), value)

    def _end(self, _: str) -> None:
        self._namespaces.pop()
        element = self._open.pop()
        if element.is_value and element.values_before == self._values:
            self._add(element.path, "".join(self._text))
        self._text.clear()

    def _resolve(self, name: str) -> _Name:
        prefix, _, local = name.rpartition(":")
        for namespaces in reversed(self._namespaces):
            if prefix in namespaces:
                return _Name(namespaces[prefix], local)
        uri = {"xml": _XML, "xmlns": _XMLNS}.get(prefix, "")
        return _Name(uri, local if uri else name)

    def _add(self, path: str, value: str) -> None:
        self._values += 1
        if path in (_SOURCE, _AIGC):
            self.labels.setdefault(path, value)
        if path and len(self.properties) < _MAX_PROPERTIES:
            self.properties.append((path, value))


def _join(path: str, name: _Name) -> str:
    prefix = _PREFIXES.get(name.uri)
    part = f"{prefix}:{name.local}" if prefix else f"{{{name.uri}}}{name.local}"
    joined = f"{path}/{part}" if path else part
    # Each property repeats the names of the elements around it.
    if len(joined) > _MAX_NAME:
        raise ProvenanceError(
            f"the XMP packet has a property whose name is longer than {_MAX_NAME:,} characters"
        )
    return joined
