"""Measures of the overlap of a text with reference texts, in any script.

BLEU is from Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation",
computed by sacrebleu (Post 2018, "A Call for Clarity in Reporting BLEU Scores"). ROUGE-L is from
Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries". Self-BLEU is from Zhu et al.
2018, "Texygen: A Benchmarking Platform for Text Generation Models".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from rapidfuzz.distance import LCSseq
from sacrebleu.metrics.bleu import BLEU

from muniment_analysis.words import words

# Scripts without spaces between words.
_CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_OTHER_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\uff66-\uff9f]")


def bleu(text: str, references: Sequence[str]) -> float:
    """Return the BLEU of one text against its references, from 0 to 100.

    The references decide how all texts are divided: Chinese into characters, and Japanese, Thai,
    Lao, Khmer and Burmese likewise. A text of fewer than 4 tokens is compared by shorter n-grams.
    A text that equals a reference has 100, also without a token.
    """
    if text in references:
        return 100.0
    return min(100.0, _bleu(_tokenizer(references)).sentence_score(text, references).score)


def self_bleu(texts: Sequence[str]) -> list[float]:
    """Return the BLEU of each text against the other ones, from 0 to 100. High means alike.

    Raise ValueError for fewer than 2 texts.
    """
    if len(texts) < 2:
        raise ValueError("self-BLEU compares at least 2 texts")
    return [bleu(text, [*texts[:place], *texts[place + 1 :]]) for place, text in enumerate(texts)]


def rouge_l(text: str, references: Sequence[str]) -> float:
    """Return the largest F1 of the longest common subsequence of words, from 0 to 1.

    A Chinese character is a word, and case is ignored. Texts without a word have 1 if they are
    equal.
    """
    return max(_rouge_l(text, words(text), reference) for reference in references)


def _rouge_l(text: str, text_words: list[str], reference: str) -> float:
    if text == reference:
        return 1.0
    reference_words = words(reference)
    if not text_words or not reference_words:
        return 0.0
    # 2 / (1/precision + 1/recall)
    common = LCSseq.similarity(text_words, reference_words)
    return 2 * common / (len(text_words) + len(reference_words))


def _tokenizer(references: Sequence[str]) -> str:
    if any(map(_OTHER_UNSPACED.search, references)):
        return "char"
    return "zh" if any(map(_CHINESE.search, references)) else "13a"


@cache
def _bleu(tokenizer: str) -> BLEU:
    return BLEU(tokenize=tokenizer, effective_order=True)
