"""One function for each kind of instruction, which returns whether a text follows it.

Letter case is ignored where a text is searched for words. All arguments were read by the module
`arguments`. Where the descriptions of the paper leave a choice, a function agrees with the
published checker, because scores are compared with published ones.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence

from muniment_analysis.sentences import count_sentences
from muniment_analysis.words import count_word_runs, whole_word_pattern

from .capitals import count_capital_words
from .languages import is_language

LESS_THAN = "less than"
AT_LEAST = "at least"

_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_SINGLE_STARS = re.compile(r"\*([^*\n]*)\*")
_DOUBLE_STARS = re.compile(r"\*\*([^*\n]*)\*\*")
_DIVIDER = re.compile(r"\s?\*\*\*\s?")
_BULLET = re.compile(r"\s*(?:-|\*[^*])")
_FENCE = re.compile(r"```(?:json|Json|JSON)?")
_AFTER_FIRST_WORD = re.compile(r"""[.,?!'"]""")


@functools.lru_cache(maxsize=4096)
def _pattern(pattern: str) -> re.Pattern[str]:
    """Return a compiled pattern. The cache of `re` has room for 512."""
    return re.compile(pattern, re.IGNORECASE)


def _compare(number: int, relation: str, threshold: int) -> bool:
    return number < threshold if relation == LESS_THAN else number >= threshold


def keywords_exist(text: str, keywords: Sequence[str]) -> bool:
    """Return whether a text contains each keyword, also as a part of a longer word."""
    return all(_pattern(re.escape(keyword)).search(text) for keyword in keywords)


def keyword_frequency(text: str, keyword: str, relation: str, frequency: int) -> bool:
    """Return whether a keyword occurs often enough, or rarely enough."""
    number = sum(1 for _ in _pattern(re.escape(keyword.strip())).finditer(text))
    return _compare(number, relation, frequency)


def forbidden_words(text: str, words: Sequence[str]) -> bool:
    """Return whether no forbidden word occurs as a whole word."""
    return not any(_pattern(whole_word_pattern(word)).search(text) for word in words)


def letter_frequency(text: str, letter: str, relation: str, frequency: int) -> bool:
    """Return whether a letter, or another character, occurs often enough or rarely enough."""
    return _compare(text.lower().count(letter.lower()), relation, frequency)


def response_language(text: str, language: str) -> bool:
    """Return whether a text is in a language, or has no detectable one."""
    return is_language(text, language)


def number_sentences(text: str, relation: str, number: int) -> bool:
    """Return whether a text has the wanted number of sentences."""
    return _compare(count_sentences(text), relation, number)


def number_words(text: str, relation: str, number: int) -> bool:
    """Return whether a text has the wanted number of words."""
    return _compare(count_word_runs(text), relation, number)


def number_paragraphs(text: str, number: int) -> bool:
    """Return whether `***` divides a text into exactly this number of paragraphs.

    A divider may stand before the first paragraph and after the last. Two in a row are wrong.
    """
    paragraphs = [bool(part.strip()) for part in _DIVIDER.split(text)]
    return all(paragraphs[1:-1]) and sum(paragraphs) == number


def nth_paragraph_first_word(text: str, paragraphs: int, position: int, word: str) -> bool:
    """Return whether there are `paragraphs` between empty lines, and one begins with a word.

    Paragraphs without text are not counted, but they take part in the position.
    """
    parts = [part.strip() for part in text.split("\n\n")]
    number = sum(map(bool, parts))
    if number != paragraphs or position > number or not parts[position - 1]:
        return False
    first = parts[position - 1].split()[0].lstrip("'").lstrip('"')
    return _AFTER_FIRST_WORD.split(first.lower(), maxsplit=1)[0] == word.lower()


def number_placeholders(text: str, number: int) -> bool:
    """Return whether a text has at least this number of placeholders, such as `[address]`."""
    # Each part that ends in a bracket has at most one. A regular expression would search to the end
    # of the line for each opening bracket.
    parts = (part for line in text.split("\n") for part in line.split("]")[:-1])
    return sum("[" in part for part in parts) >= number


def postscript(text: str, marker: str) -> bool:
    """Return whether a text contains the marker of a postscript, such as `P.S.` or `p. s.`."""
    spaced = re.escape(marker.strip()).replace(r"\.", r"\.\s?")
    return _pattern(spaced).search(text) is not None


def number_bullet_lists(text: str, number: int) -> bool:
    """Return whether exactly this number of lines begin with `-`, or with one `*` and text."""
    return sum(_BULLET.match(line) is not None for line in text.split("\n")) == number


def constrained_response(text: str) -> bool:
    """Return whether a text contains one of the three answers."""
    return any(answer in text for answer in _ANSWERS)


def number_highlighted_sections(text: str, number: int) -> bool:
    """Return whether at least this number of parts are highlighted as `*part*` or `**part**`."""
    highlights = _SINGLE_STARS.findall(text) + _DOUBLE_STARS.findall(text)
    return sum(bool(highlight.strip()) for highlight in highlights) >= number


def multiple_sections(text: str, splitter: str, number: int) -> bool:
    """Return whether a text has at least this number of section marks, such as `Section 1`."""
    return len(re.findall(re.escape(splitter.strip()) + r"\s?\d+", text)) >= number


def json_format(text: str) -> bool:
    """Return whether a text is JSON, which a Markdown code block may enclose."""
    stripped = text.strip()
    fence = _FENCE.match(stripped)
    try:
        json.loads(stripped[fence.end() if fence else 0 :].removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def title(text: str) -> bool:
    """Return whether a text contains a title, such as `<<poem of joy>>`."""
    return any(map(_line_title, text.split("\n")))


def _line_title(line: str) -> str:
    """Return the text between the first `<<` and the last `>>` of a line, or an empty text."""
    start, end = line.find("<<"), line.rfind(">>")
    return line[start:end].lstrip("<").rstrip(">").strip() if 0 <= start < end else ""


def two_responses(text: str) -> bool:
    """Return whether `******` divides a text into two different responses.

    A divider may stand before the first response and after the second.
    """
    parts = [part.strip() for part in text.split("******")]
    responses = [part for part in parts if part]
    return all(parts[1:-1]) and len(responses) == 2 and responses[0] != responses[1]


def repeat_prompt(text: str, prompt: str) -> bool:
    """Return whether a text begins with a prompt."""
    return text.strip().lower().startswith(prompt.strip().lower())


def end_checker(text: str, phrase: str) -> bool:
    """Return whether a text ends with a phrase. A quotation mark may follow."""
    return text.strip().strip('"').lower().endswith(phrase.strip().lower())


def capital_word_frequency(text: str, relation: str, frequency: int) -> bool:
    """Return whether words in capital letters occur often enough or rarely enough."""
    return _compare(count_capital_words(text), relation, frequency)


def english_capital(text: str) -> bool:
    """Return whether a text is English without lowercase letters."""
    return text.isupper() and is_language(text, "en")


def english_lowercase(text: str) -> bool:
    """Return whether a text is English without capital letters."""
    return text.islower() and is_language(text, "en")


def no_comma(text: str) -> bool:
    """Return whether a text has no comma, in Latin or in full-width form."""
    return "," not in text and "\uff0c" not in text


def quotation(text: str) -> bool:
    """Return whether double quotation marks enclose a text."""
    stripped = text.strip()
    return len(stripped) > 1 and stripped[0] == stripped[-1] == '"'
