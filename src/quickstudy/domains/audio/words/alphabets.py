"""Alphabets: the letters from which words of a language are invented, for the languages that espeak-ng reads.

word      =  1 to 3 syllables
syllable  =  onset + vowel, and in one of three a coda behind it, where the script has codas

A language is read by its own rules, so that the same letters sound otherwise in another one. Dialects are left out: a language
is of one part of a task family, and a dialect in another part would be a leak.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from random import Random

CODA = 1 / 3  # of the syllables


@dataclass(frozen=True)
class Alphabet:
    """The onsets, vowels and codas of a script, each a string of text."""

    onsets: tuple[str, ...]
    vowels: tuple[str, ...] = ("",)
    codas: tuple[str, ...] = ()

    def word(self, syllables: int, random: Random) -> str:
        """A random word of so many syllables."""
        return "".join(self._syllable(random) for _ in range(syllables))

    def _syllable(self, random: Random) -> str:
        coda = random.choice(self.codas) if self.codas and random.random() < CODA else ""
        return random.choice(self.onsets) + random.choice(self.vowels) + coda


def _letters(onsets: str, vowels: str = "", codas: str = "") -> Alphabet:
    """An alphabet of single letters, as they stand in three strings."""
    return Alphabet(tuple(onsets), tuple(vowels) or ("",), tuple(codas))


def _signs(consonants: str, vowels: str, codas: str) -> Alphabet:
    """An alphabet whose vowels are signs on a consonant; a consonant without a sign has the vowel a."""
    return Alphabet(tuple(consonants), ("", *vowels), tuple(codas))


LATIN = Alphabet((*"bdfghjklmnprstvz", "st", "tr", "pl", "kr"), tuple("aeiou"), tuple("lmnrskt"))
CYRILLIC = _letters("бвгджзклмнпрстфхчш", "аеиоу", "лмнрскт")
GREEK = _letters("βγδζθκλμνξπρστφχ", "αειου", "νρς")
DEVANAGARI = _signs("कखगचजटडतदनपबमयरलवसह", "ािीुूेैोौ", "नमरलस")
BENGALI = _signs("কখগচজটডতদনপবমরলসহ", "ািীুূেৈোৌ", "নমরলস")
GUJARATI = _signs("કખગચજટડતદનપબમયરલવસહ", "ાિીુૂેૈોૌ", "નમરલસ")
GURMUKHI = _signs("ਕਖਗਚਜਟਡਤਦਨਪਬਮਯਰਲਵਸਹ", "ਾਿੀੁੂੇੈੋੌ", "ਨਮਰਲਸ")
ORIYA = _signs("କଖଗଚଜଟଡତଦନପବମରଲସହ", "ାିୀୁୂେୈୋୌ", "ନମରଲସ")
TAMIL = _signs("கசடதநபமயரலவ", "ாிீுூெேைொோ", "")
TELUGU = _signs("కఖగచజటడతదనపబమయరలవసహ", "ాిీుూెేైొో", "")
KANNADA = _signs("ಕಖಗಚಜಟಡತದನಪಬಮಯರಲವಸಹ", "ಾಿೀುೂೆೇೈೊೋ", "")
MALAYALAM = _signs("കഖഗചജടഡതദനപബമയരലവസഹ", "ാിീുൂെേൈൊോ", "")
SINHALA = _signs("කගචජටඩතදනපබමයරලවසහ", "ාිීුූෙේොෝ", "")
ARABIC = Alphabet(tuple("بتجدرزسشفقكلمن"), ("َ", "ِ", "ُ", "َا", "ِي", "ُو"), tuple("نمرلس"))
PERSIAN = Alphabet(tuple("بپتجچدرزسشفکلمن"), tuple("ایو"), tuple("نمرلس"))
HEBREW = Alphabet(tuple("בגדזחטכלמנספקרשת"), tuple("איו"), tuple("לנרסמ"))
GEORGIAN = _letters("ბგდვზთკლმნპრსტფქშჩცძხჯ", "აეიოუ", "ლმნრს")
ARMENIAN = _letters("բգդզթլխկհմնշչպջռսվտրցփք", "աեիոա", "լմնրս")
KANA = _letters("かきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもらりるれろがぎぐげごだでどばびぶべぼ", "", "ん")
HANGUL_PARTS = (0, 2, 3, 5, 6, 7, 9, 12, 14, 15, 16, 17, 18), (0, 4, 5, 8, 13, 18, 20), (0, 4, 8, 16)
HANGUL = _letters("".join(chr(0xAC00 + 588 * onset + 28 * vowel + coda) for onset, vowel, coda in product(*HANGUL_PARTS)))
ETHIOPIC_ROWS = (0x1208, 0x1218, 0x1228, 0x1230, 0x1238, 0x1260, 0x1270, 0x1290, 0x12A8, 0x12C8, 0x12D8, 0x12F0, 0x1308, 0x1348)
ETHIOPIC = _letters("".join(chr(row + vowel) for row, vowel in product(ETHIOPIC_ROWS, range(7))))

_OF = (
    (
        LATIN,
        "af an az bs ca cs cy da de en-gb eo es et eu fi fr-fr ga gd gn hr ht haw hu ia id io is it jbo kl ku la lb lfn lt ltg",
    ),
    (LATIN, "lv mi ms mt nb nci nl om pap pl pt py qdb qu quc qya ro sjn sk sl smj sq sv sw tk tn tr uz"),
    (CYRILLIC, "ba be bg cv kk ky mk ru sr tt uk"),
    (GREEK, "el grc"),
    (DEVANAGARI, "hi kok mr ne"),
    (BENGALI, "as bn bpy"),
    (GUJARATI, "gu"),
    (GURMUKHI, "pa"),
    (ORIYA, "or"),
    (TAMIL, "ta"),
    (TELUGU, "te"),
    (KANNADA, "kn"),
    (MALAYALAM, "ml"),
    (SINHALA, "si"),
    (ARABIC, "ar"),
    (PERSIAN, "fa sd ug ur"),
    (HEBREW, "he"),
    (GEORGIAN, "ka"),
    (ARMENIAN, "hy"),
    (KANA, "ja"),
    (HANGUL, "ko"),
    (ETHIOPIC, "am"),
)
ALPHABETS = {language: alphabet for alphabet, languages in _OF for language in languages.split()}
"""The alphabet of each language, by espeak-ng's name for it."""
