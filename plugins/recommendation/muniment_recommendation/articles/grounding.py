"""Find what a text about recommended items says that its evidence does not.

Titles, numbers and names are checked, and nothing else: a sentence without any of them can still be
wrong. Without a dictionary a name is a word with a capital letter or a mark of names, so some
common words are taken for names. Such a text is replaced, although it had no fault.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_QUOTED = re.compile(
    r"《([^《》]+)》|「([^「」]+)」|“([^“”]+)”|\"([^\"\n]+)\"|«([^«»]+)»|\*([^*\n]+)\*"
)
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_CHINESE_NUMBER = re.compile(
    "[〇零一二三四五六七八九十百千万亿两]{2,}|[〇零一二三四五六七八九十百千万亿两](?=[年岁歲世月日])"
)
_NUMBER_WORD = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty|"
    r"fifty|sixty|seventy|eighty|ninety|hundreds?|thousands?|millions?|billions?|dozens?)\b"
)
_LETTER = r"(?:(?![\u3400-\u4dbf\u4e00-\u9fff])[^\W\d_])"
_WORD = re.compile(rf"{_LETTER}+(?:['-]{_LETTER}+)*")
_CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
# The middle of a foreign name with a dot, and a name beside the word for its part in a work.
_CHINESE_NAME = re.compile(
    "[\u4e00-\u9fff]{1,2}[·•][\u4e00-\u9fff]{1,2}"
    "|(?:作者|作家|导演|導演|诗人|詩人|主演|译者|譯者|主角)[是为為:]?([\u4e00-\u9fff]{2,3})"
    "|([\u4e00-\u9fff]{2,3})(?:先生|女士|教授|博士|所著|执导|執導|主演)"
)
_SENTENCE_END = re.compile(r"[.!?:;。！？：；…\n]\W*$")
_NEAR = 10  # characters before a word among which a sentence ends
_USUAL = frozenset(
    """a about above after again all along also although always among an and another any anyone are
    as at be because before begin behind besides best between beyond books both but by choose chosen
    come consider dear discover dive do each either enjoy even every everyone everything explore
    films find finally first follow for from get give go has have he hello her here hi his history
    how however i i'd i'll i'm i've if imagine immerse in inside instead into is it its it's join
    journey just last learn let let's like long look looking love many maybe meanwhile more most
    much my next no nor not nothing now of on once one only open or other our out over perhaps
    please quiet read reader readers reading ready recommended science see she since so some
    someone something sometimes soon start step still stories such take technology that that's the
    their them then there there's these they this those though through to together too travel try
    under until up use very want watch we welcome what whatever when where whether which while who
    why will with within without works would yes you you'll you're you've your""".split()
)
_PHRASE_MARKS = re.compile(r"[\W_]+")


def unsupported(text: str, evidence: Iterable[str]) -> tuple[str, ...]:
    """Return the titles, numbers and names of a text that the evidence lacks, each once.

    A quoted text is a title, and must be a part of one text of the evidence. A number must be one
    of its numbers, in digits or in words as there. Each word of a name must be one of its words.
    The comparison ignores case, width and punctuation.
    """
    known = _Evidence(evidence)
    text = _plain(text)
    missing = [
        *(title for title in _quoted(text) if not known.has_phrase(title)),
        *(number for number in _numbers(text) if number not in known.numbers),
        *(name for name in _chinese_names(text) if not known.has_phrase(name)),
        *(word for word in _capitalised(text) if _base(word) not in known.words),
    ]
    return tuple(dict.fromkeys(missing))


def has_phrase(text: str, phrase: str) -> bool:
    """Return whether a text has the words of a phrase, in their order."""
    searched = _phrase(_plain(phrase))
    if _CHINESE.search(phrase):  # it is written without spaces
        searched = searched.strip()
    return bool(searched.strip()) and searched in _phrase(_plain(text))


class _Evidence:
    """The words, numbers and phrases of texts."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = [_plain(text) for text in texts]
        self.numbers = {number for text in self._texts for number in _numbers(text)}
        self.words = {_base(word) for text in self._texts for word in _WORD.findall(text)}

    def has_phrase(self, phrase: str) -> bool:
        """Return whether one of the texts has the words of a phrase in their order."""
        return any(has_phrase(text, phrase) for text in self._texts)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).replace("’", "'")


def _quoted(text: str) -> list[str]:
    return [next(filter(None, match.groups())) for match in _QUOTED.finditer(text)]


def _numbers(text: str) -> list[str]:
    return [
        *_NUMBER.findall(text),
        *_CHINESE_NUMBER.findall(text),
        *_NUMBER_WORD.findall(text.casefold()),
    ]


def _chinese_names(text: str) -> list[str]:
    return [next(filter(None, match.groups()), match[0]) for match in _CHINESE_NAME.finditer(text)]


def _capitalised(text: str) -> list[str]:
    """Return the words with a capital letter, apart from usual words that open a sentence."""
    words = []
    for match in _WORD.finditer(text):
        word = match[0]
        if not any(letter.isupper() for letter in word):
            continue
        before = text[max(match.start() - _NEAR, 0) : match.start()]
        opens = not before.strip() or _SENTENCE_END.search(before) or _CHINESE.search(before[-1:])
        if word.casefold() in _USUAL and (opens or word == "I" or word.startswith("I'")):
            continue
        words.append(word)
    return words


def _base(word: str) -> str:
    return word.casefold().removesuffix("'s")


def _phrase(text: str) -> str:
    """Return the words of a text, with one space between and around them."""
    return f" {_PHRASE_MARKS.sub(' ', text.casefold()).strip()} "
