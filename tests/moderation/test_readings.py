"""Readings of a text: escaped and disguised terms are found, at their places in the text."""

from __future__ import annotations

import html
import json
import quopri
import time
import urllib.parse

import pytest
from hypothesis import given, strategies as st

import muniment
from muniment_moderation.blocklist import Blocklist
from muniment_moderation.normalise import fold
from muniment_moderation.readings import Reading, readings

TERM = "how to make a bomb"
BIRD = "蓝鹭计划"
FILTER = Blocklist(Blocklist.Parameters(terms=[TERM, BIRD, "naïve 🔫"]))


def reasons(text: str, media_type: str = "text/plain") -> list[str]:
    """Return the parts of the text at which the filter found a term."""
    verdict = FILTER.check(muniment.Content("output", media_type, text.encode()))
    assert (verdict.decision == "block") == bool(verdict.reasons)
    return [text[reason.start : reason.end] for reason in verdict.reasons]


def folded(reading: Reading) -> str:
    """Return the text in which the filter searches for a reading."""
    return fold(reading.text).text


def shift(text: str, first: int) -> str:
    """Return capital letters that begin at a code point, in place of ASCII letters."""
    return "".join(
        chr(first + ord(char.upper()) - ord("A")) if char.isalpha() else char for char in text
    )


TAGS = "".join(chr(0xE0000 + ord(char)) for char in TERM)


@pytest.mark.parametrize(
    "written",
    [
        TAGS,
        shift(TERM, 0x1F150),
        shift(TERM, 0x1F170),
        shift(TERM, 0x1F1E6),
        shift("how to", 0x1F170) + shift(" make a", 0x1F1E6) + " bomb",
    ],
)
def test_letters_as_symbols_are_read(written: str) -> None:
    assert reasons(f"please: {written}!") == [written]


def test_a_flag_is_not_a_word() -> None:
    assert reasons("🇨🇳🇺🇸 flags, and \U0001f3f4\U000e0067\U000e0062\U000e007f") == []
    assert reasons("how 🇨🇳 to make a bomb") == ["how 🇨🇳 to make a bomb"]


def escaped(text: str) -> str:
    """Return a text with the escapes of JSON, without the quotation marks around it."""
    return json.dumps(text)[1:-1]


@pytest.mark.parametrize(
    "written",
    [
        escaped(BIRD),
        urllib.parse.quote(BIRD),
        urllib.parse.quote(urllib.parse.quote(BIRD)),
        "".join(f"&#{ord(char)};" for char in BIRD),
        "".join(f"&#x{ord(char):X};" for char in BIRD),
        "".join(f"\\u{{{ord(char):x}}}" for char in BIRD),
        "".join(f"\\U{ord(char):08X}" for char in BIRD),
        escaped(escaped(BIRD)),
        "how\\nto\\tmake a bom\\x62",
        urllib.parse.quote(TERM),
        html.escape("how to make a bomb").replace("a", "&#97;"),
        "na&iuml;ve " + escaped("🔫"),
    ],
)
def test_escaped_text_is_read(written: str) -> None:
    text = f'{{"items": ["{written}"]}}'
    (found,) = reasons(text, "application/json")
    assert found == written or found == written.replace("how\\n", "how\\n")


@pytest.mark.parametrize(
    "text",
    [
        "100% bomb",
        "%E8%93",
        "\\ud83d",
        "\\U00110000",
        "&nothing;",
        "&#1114112;",
        "C:\\new\\table",
        "\\u{110000}",
        "%",
        "\\",
    ],
)
def test_what_is_no_escape_stays_as_it_is(text: str) -> None:
    assert reasons(text) == []
    for reading in readings(text):
        assert len(reading.text) == len(reading.starts) == len(reading.ends)


def octal(text: str) -> str:
    """Return each byte of a text in UTF-8 as an octal escape, as C and shells write it."""
    return "".join(f"\\{byte:03o}" for byte in text.encode())


def quoted_printable(text: str) -> str:
    """Return a text in the encoding of mails, with every byte encoded."""
    return "".join(f"={byte:02X}" for byte in text.encode())


@pytest.mark.parametrize(
    "written",
    [
        "how to make a b\x1b[31mo\x1b[0mmb",
        "how to make a b\x9b1;31mo\x1b]8;;http://x\x1b\\m\x1b]0;title\x07b",
        "how to make a b\\x1b[31mo\\e[0mm\\033[0mb",
        "how to make a b\x1b(Bo\x1bcmb",
        octal(TERM),
        octal(BIRD),
        "how\\40to make a b\\157mb",
        "".join(f"\\x{byte:02x}" for byte in BIRD.encode()),
        quoted_printable(BIRD),
        quoted_printable("🅷🅾🆆") + " to make a bomb",
        quopri.encodestring(BIRD.encode()).decode(),
        "how to make a bo=\r\nmb",
        "how to make a b<b>o</b>mb",
        "how to make a b<i title='>' CLASS=x>o</i><!-- any > thing -->mb",
        "how<br/>to<p class=a>make</p>a bomb",
        "how to make a b&lt;b&gt;o&lt;/b&gt;mb",
        "how to make a b=3Cb=3Eo=1B[31m<wbr>m\x1b[0mb",
        "how to make a b<a href='b\x1b[31m'>omb",
    ],
)
def test_readings_markup_inside_a_term_is_removed(written: str) -> None:
    assert reasons(f"please: {written}!") == [written]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("%FF%62omb", "\xffbomb"),
        ("%62%6f%E8%6d%62", "bo\xe8mb"),
        ("=FF=62omb", "\xffbomb"),
        ("=9B31m=62omb", "bomb"),
        ("\\xff\\xe8\\x93\\x9d", "\xff蓝"),
        ("\\377\\350\\223\\235\\350", "\xff蓝\xe8"),
        ("\\ud800\\u0062\\u006f\\u006d\\u0062", "\ufffdbomb"),
        ("\\u0062\\udc00omb\\ud83d", "b\ufffdomb\ufffd"),
        ("\\u{d800}\\U0000dfffbomb", "\ufffd\ufffdbomb"),
    ],
)
def test_readings_invalid_bytes_hide_no_others(written: str, text: str) -> None:
    *_, last = readings(written)
    assert last.text == text


@pytest.mark.parametrize(
    "written",
    [
        "<!-- how to make a bomb",
        "<p title='how to make a bomb'>",
        "\x1b]0;how to make a bomb\x07",
        f"<p title='{shift(TERM, 0x1F170)}'>",
        f"<!-- {escaped(TERM)}",
    ],
)
def test_readings_terms_inside_markup_are_found(written: str) -> None:
    assert reasons(written) != []


@pytest.mark.parametrize("text", ["a < b, c > d", "x=1", "if a<3: print(b>2)", "5 < 6 = 7 > \\z"])
def test_readings_of_text_without_markup_are_the_text_alone(text: str) -> None:
    assert [reading.text for reading in readings(text)] == [text]


@pytest.mark.parametrize(
    "unit",
    [
        "<a ",
        '<a "',
        "<a '\"",
        "<!--",
        "<",
        "\x1b",
        "\x1b[",
        "\x1b]",
        "\x90",
        "\x9b1",
        "=",
        "= ",
        "\\x4",
    ],
)
def test_readings_of_unfinished_markup_take_linear_time(unit: str) -> None:
    check_time(unit * 100_000)


@pytest.mark.parametrize(
    ("start", "unit"),
    [
        ("[", "a"),
        ("![", "]("),
        ("", "[a]("),
        ("", "[b "),
        ("[b=", " "),
        ("", "*a"),
        ("", "**a "),
        ("*", "a "),
        ("*a", "*"),
        ("", "`"),
        ("`", "a"),
        ("", "~~"),
        ("", "<rt>"),
        ("", "<script "),
        ("", "<script>"),
        ("<script", " "),
        ("", "<!-->"),
        ("", "<![CDATA["),
        ("", "U+62 "),
        ("", "U+0062 "),
        ("U+0062", " "),
        ("", "\\u{0 "),
        ("\\u{0", " 0"),
        ("\\u{0", " "),
        ("", "\\N{A"),
        ("", "&#0"),
        ("&#", "0"),
        ("&#98=", " "),
        ("", "=?utf-8?b?"),
        ("=?utf-8?b?", "a"),
        ("=?utf-8?b?YQ==?=", " "),
        ("", "=?utf-8?q?=62?= "),
        ("", "a\b"),
        ("a", "\b"),
        ("", "\u200b"),
        ("", "％"),
        ("<", "a"),
        ("</", "a1"),
        ("<a", " "),
        ("<a '", '"'),
        ('<a "', "'"),
        ("<!--", "-"),
        ("&", "a"),
        ("&#", "1"),
        ("\\", "0"),
        ("\\u{", "0"),
        ("", "\\u0041"),
        ("", "\\x"),
        ("", "\\xff"),
        ("", "\\377"),
        ("", "%FF"),
        ("", "=FF"),
        ("=", " "),
        ("=", "\t \r"),
        ("\x1b", " "),
        ("\x1b[", "0"),
        ("\x1b[", " "),
        ("\x1b[0", "0 "),
        ("\x1b]", "a"),
        ("\x9d", "\\"),
    ],
)
def test_readings_of_long_unfinished_markup_take_linear_time(start: str, unit: str) -> None:
    check_time(start + unit * 100_000)


def check_time(text: str) -> None:
    begun = time.process_time()
    assert len(list(readings(text))) <= 12
    assert time.process_time() - begun < 5  # minutes if each start were searched to the end


WRITTEN = [
    "&#98&#111&#109&#98",
    "&#x62&#X6Fmb",
    "&#000000000000098;omb",
    "bo&#1=\n09;b",
    "bo&#x6=\r\nd;b",
    "%6=\n2omb",
    "bo<!-->mb",
    "bo<!--->mb",
    "bo<!--x--!>mb",
    "bo<![CDATA[mb]]>",
    "bo<rt>oh</rt>mb",
    "bo<RT class=x><b>oh</b></rt>mb",
    "bo<rp>(<rt>oh<rp>)</rp>mb",
    "bo<script>alert('<b>')</script>mb",
    "bo<style media=all>p {}</style >mb",
    "bo\\x{6d}b",
    "%u0062omb",
    "\\u{62 6f 6D 62}",
    "\\62 omb",
    "\\000062\\6F\\6d\r\nb",
    "=?UTF-8?B?Ym9tYg==?=",
    "=?utf-8*en?q?bo?= =?us-ascii?Q?=6Db?=",
    "U+0062 U+006F U+006D U+0062",
    "\\N{U+62}omb",
    "\\N{LATIN SMALL LETTER B}omb",
    "％６２omb",
    "＼ｘ６２omb",
    "&#9\u200b8;omb",
    "%6\u00ad2omb",
    "＜ｂ＞bo＜/ｂ＞mb",
    "&#9\x018;omb",
    "[bo](http://x)mb",
    "[b**o**](http://x 'title')mb",
    "bo![](http://e/a.png)mb",
    "bo**m**b",
    "b*om*b",
    "***b***omb",
    "b~~o~~mb",
    "bo`m`b",
    "bo[b]m[/b]b",
    "bo[color=#f00]m[/COLOR]b",
    "b\ufff9o\ufffamb",
    "b\ufdd0o\uffffm\U0001fffeb",
    "b\ue000om\U0010fffdb",
    "bo\x08omb",
    "bxyz\x08\x08\x08omb",
    "b\bbo\bom\bmb\bb",
]
WRITTEN_BIRD = [
    "&#x84dd&#x9e6d计划",
    "<ruby>蓝<rt>lán</rt>鹭</ruby>计划",
    "<ruby>蓝<rp>(</rp><rt>lán</rt><rp>)</rp>鹭<rt>lù</ruby>计划",
    "蓝<script>鹭</script>鹭计划",
    "%u84dd%u9e6d计划",
    "\\u{84dd 9e6d}计划",
    "\\84dd \\9e6d 计划",
    "\\N{CJK UNIFIED IDEOGRAPH-84DD}鹭计划",
    "U+84DD U+9E6D计划",
    "＼ｕ８４ｄｄ鹭计划",
    "=?UTF-8?B?6JOd6bmt6K6h5YiS?=",
    "=?gb18030?b?wLbw2A==?= 计划",
    "[蓝](http://x)鹭计划",
    "蓝[b]鹭[/b]计划",
    "蓝![](http://e/a.png)鹭计划",
    "蓝x\x08鹭计划",
]


@pytest.mark.parametrize("written", WRITTEN)
def test_readings_disguises_of_a_word_are_read(written: str) -> None:
    text = f"how to make a {written}!"
    (found,) = reasons(text)
    assert found.startswith("how to make a ")
    assert text.startswith(found)


@pytest.mark.parametrize("written", WRITTEN_BIRD)
def test_readings_disguises_of_chinese_characters_are_read(written: str) -> None:
    assert len(reasons(f"see: {written}!")) == 1


@pytest.mark.parametrize(
    "written",
    [
        "<rt>how to make a b<b>o</b>mb</rt>",
        "<script>how to make a b<b>o</b>mb</script>",
        "<rt>how to make a bo**m**b",
    ],
)
def test_readings_content_that_is_dropped_is_read_too(written: str) -> None:
    assert len(reasons(written)) == 1


def test_readings_a_match_inside_emphasis_has_its_own_place() -> None:
    assert reasons("**no: how to make a b`o`mb, yes**") == ["how to make a b`o`mb"]


@pytest.mark.parametrize(
    "text",
    [
        "2 * 3 * 4",
        "* how\n* to",
        "a ** b ** c",
        "snake_case_name __init__",
        "a[0] [1](2",
        "ＡＢＣ，你好！",
        "家👩\u200d🚀",
        "a~b ~ c",
        "U+1F",
        "AT&T & co",
        "=?x?B?YQ==?=",
    ],
)
def test_readings_of_plain_text_join_no_words(text: str) -> None:
    assert [*map(folded, readings(text))] == [fold(text).text]


PIECES = st.sampled_from(
    [
        "\\157",
        "\\xe8",
        "=E8=93=9D",
        "=3C",
        "=\n",
        "<b>",
        "</p>",
        "<!--",
        "\x1b[31m",
        "\x1b",
        "a",
        "蓝",
        "\\u84dd",
        "%E8%93%9D",
        "&amp;",
        "%25",
        "\\\\",
        "&#x26;",
        "\U0001f170",
        "u",
        "41",
        "\\n",
        "\\62 ",
        "<rt>",
        "</rt>",
        "**",
        "[b]",
        "[a](",
        ")",
        "\b",
        "％",
        "\u200b",
        "=?utf-8?b?YQ==?=",
        "U+0062",
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join) | st.text())
def test_every_character_of_a_reading_lies_in_the_text(text: str) -> None:
    first, *others = readings(text)
    assert first.text == text
    assert len(others) <= 11
    for reading in (first, *others):
        assert len(reading.text) == len(reading.starts) == len(reading.ends)
        assert list(reading.starts) == sorted(reading.starts)
        assert all(
            0 <= a < b <= len(text) for a, b in zip(reading.starts, reading.ends, strict=True)
        )


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_escaping_any_text_hides_nothing(text: str) -> None:
    for written in (json.dumps(text)[1:-1], urllib.parse.quote(text), html.escape(text)):
        if "\\" not in text and "%" not in text and "&" not in text:
            assert fold(text).text in (fold(reading.text).text for reading in readings(written))


MARKUP = st.sampled_from(
    ["<b>", "</span>", "<a href='x>y'>", "<!-- a > b -->", "\x1b[1;31m", "\x1b]0;t\x07", "=\n"]
)


@given(
    st.lists(
        st.tuples(
            st.characters(codec="utf-8", exclude_characters="\\%&<>=", exclude_categories=["Cc"]),
            MARKUP,
        )
    )
)
def test_readings_of_text_with_markup_between_its_characters_have_the_text(
    pairs: list[tuple[str, str]],
) -> None:
    text = "".join(char for char, _ in pairs)
    written = "".join(char + markup for char, markup in pairs)
    *_, last = map(folded, readings(written))
    assert last in map(folded, readings(text))


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_readings_of_encoded_bytes_have_the_text(text: str) -> None:
    for written in (octal(text), quoted_printable(text)):
        assert {folded(reading) for reading in readings(written)} & {
            folded(reading) for reading in readings(text)
        }
