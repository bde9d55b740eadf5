"""Make the font of captions and labels: a subset of Noto Sans CJK SC under a name of its own.

It needs fonttools, which Muniment does not. The characters are those of ASCII and Latin-1, marks
of punctuation, kana, the 3,755 ideographs of level 1 of GB 2312, and the words of `emoji-32`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTCollection, TTFont

PACKAGE = Path(__file__).parents[1] / "muniment_image"
SOURCE = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")
FAMILY = "Noto Sans CJK SC"
NAME = "Muniment Caption"
RANGES = (
    (0x20, 0x7F),
    (0xA0, 0x100),
    (0x2010, 0x2028),  # dashes, quotation marks, the ellipsis
    (0x3000, 0x3020),  # punctuation of Chinese and Japanese
    (0x3041, 0x3100),  # kana
    (0xFF01, 0xFF5F),  # wide forms of ASCII
)
LEVEL_1 = range(0xB0, 0xD8)  # first bytes of its ideographs in GB 2312


def main() -> None:
    """Write the font of the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=SOURCE, help="collection with the font")
    arguments = parser.parse_args()
    collection = TTCollection(arguments.source)
    font = next(font for font in collection if font["name"].getDebugName(1) == FAMILY)
    reduce(font, characters())
    rename(font)
    font.save(PACKAGE / "fonts" / "caption.otf")


def characters() -> set[int]:
    """Return the code points of the subset."""
    points = {point for start, end in RANGES for point in range(start, end)}
    for first in LEVEL_1:
        for second in range(0xA1, 0xFF):
            text = bytes((first, second)).decode("gb2312", "ignore")
            points.update(map(ord, text))
    model = json.loads((PACKAGE / "models" / "emoji-32" / "model.json").read_text("utf-8"))
    points.update(ord(character) for character in json.dumps(model, ensure_ascii=False))
    return points


def reduce(font: TTFont, points: set[int]) -> None:
    """Remove all other characters, and everything that a line of text does not need."""
    options = subset.Options(layout_features=[], notdef_outline=True, name_IDs=["*"])
    options.drop_tables += ["BASE", "GSUB", "GPOS", "GDEF", "VORG", "vhea", "vmtx", "DSIG"]
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=points)
    subsetter.subset(font)


def rename(font: TTFont) -> None:
    """Give the subset a name of its own, as a trademark of the original forbids using that one."""
    postscript = NAME.replace(" ", "")
    names = {1: NAME, 2: "Regular", 3: postscript, 4: NAME, 6: postscript}
    table = font["name"]
    table.names = [
        record
        for record in table.names
        if record.platformID == 3 and record.langID == 0x409 and record.nameID in (0, 5, 13, 14)
    ]
    for number, text in names.items():
        table.setName(text, number, 3, 1, 0x409)
    outlines = font["CFF "].cff
    outlines.fontNames = [postscript]
    top = outlines.topDictIndex[0]
    top.FullName, top.FamilyName = NAME, NAME
    for entry in top.FDArray:
        entry.FontName = postscript


if __name__ == "__main__":
    main()
