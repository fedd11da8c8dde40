r"""Tables of the MathML kernels: what each character of a formula is in TeX, names of functions, accents, elements.

Source: MathML 3 (W3C), chapter 3; names of commands after The Comprehensive LaTeX Symbol List; plain letters of the
mathematical alphabets from Unicode's NFKC.
"""

from __future__ import annotations

import unicodedata

import numpy as np

from curation.text.compiled import leaf
from curation.text.html_names import hash_table

# How a piece of TeX ends, which tells whether a letter behind it needs a blank. LETTERS: ASCII letters and nothing else;
# COMMAND: one command and nothing else, as `\alpha`; OPEN: something that ends with a command.
EMPTY, LETTERS, COMMAND, OPEN, OTHER = (np.int64(i) for i in range(5))

# np.int64 here and elsewhere: of a plain constant numba would compile each function it is given to anew.

# What else is known of a piece of TeX. LIMIT: a command that takes what stands under it as its index.
LETTER_FIRST, LIMIT = np.int64(1), np.int64(2)

FUNCTION_NAMES = """
arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf ker lg lim liminf limsup ln log
max min Pr sec sin sinh sup tan tanh"""
LIMIT_NAMES = "sum prod coprod bigcup bigcap int oint lim max min sup inf limsup liminf det gcd"
ACCENTS = {
    "¯": "bar", "‾": "overline", "^": "hat", "ˆ": "hat", "→": "vec", "⃗": "vec", "~": "tilde", "˜": "tilde", "˙": "dot",
    "¨": "ddot", "⏞": "overbrace", "―": "overline", "−": "overline", "_": "overline",
}  # fmt: skip
_NAMED = {
    "≤": r"\leq", "≥": r"\geq", "≠": r"\neq", "≈": r"\approx", "≡": r"\equiv", "∼": r"\sim", "≅": r"\cong", "∝": r"\propto",
    "±": r"\pm", "∓": r"\mp", "×": r"\times", "÷": r"\div", "⋅": r"\cdot", "·": r"\cdot", "∗": "*", "∘": r"\circ",
    "°": r"^{\circ}", "−": "-", "∞": r"\infty", "∂": r"\partial", "∇": r"\nabla", "∫": r"\int", "∬": r"\iint",
    "∭": r"\iiint", "∮": r"\oint", "∑": r"\sum", "∏": r"\prod", "∐": r"\coprod", "√": r"\sqrt{}", "∈": r"\in",
    "∉": r"\notin", "∋": r"\ni", "⊂": r"\subset", "⊃": r"\supset", "⊆": r"\subseteq", "⊇": r"\supseteq", "∪": r"\cup",
    "∩": r"\cap", "∅": r"\emptyset", "∖": r"\setminus", "∧": r"\wedge", "∨": r"\vee", "¬": r"\neg", "∀": r"\forall",
    "∃": r"\exists", "→": r"\to", "←": r"\leftarrow", "↔": r"\leftrightarrow", "⇒": r"\Rightarrow", "⇐": r"\Leftarrow",
    "⇔": r"\Leftrightarrow", "↦": r"\mapsto", "↑": r"\uparrow", "↓": r"\downarrow", "⟶": r"\longrightarrow",
    "⟨": r"\langle", "⟩": r"\rangle", "〈": r"\langle", "〉": r"\rangle", "⌊": r"\lfloor", "⌋": r"\rfloor", "⌈": r"\lceil",
    "⌉": r"\rceil", "‖": r"\|", "∥": r"\parallel", "⊥": r"\perp", "∠": r"\angle", "△": r"\triangle", "…": r"\ldots",
    "⋯": r"\cdots", "⋮": r"\vdots", "⋱": r"\ddots", "′": "'", "″": "''", "‴": "'''", "ℝ": r"\mathbb{R}", "ℕ": r"\mathbb{N}",
    "ℤ": r"\mathbb{Z}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}", "ℓ": r"\ell", "ℏ": r"\hbar", "ℜ": r"\Re", "ℑ": r"\Im",
    "ℵ": r"\aleph", "⊕": r"\oplus", "⊗": r"\otimes", "⋆": r"\star", "†": r"\dagger", "∣": r"\mid", "≪": r"\ll", "≫": r"\gg",
    "≔": ":=", "∴": r"\therefore", "∵": r"\because", "ⅆ": "d", "ⅇ": "e", "ⅈ": "i", "⋃": r"\bigcup", "⋂": r"\bigcap",
    "ϵ": r"\epsilon", "ε": r"\varepsilon", "ϕ": r"\phi", "φ": r"\varphi", "ϑ": r"\vartheta", "ϱ": r"\varrho",
    "ς": r"\varsigma", "ϖ": r"\varpi", "µ": r"\mu", "Ω": r"\Omega", "%": r"\%", "#": r"\#", "&": r"\&", "$": r"\$",
    "_": r"\_", "{": r"\{", "}": r"\}", "\\": r"\backslash", "\u2061": "", "\u2062": "", "\u2063": "", "\u2064": "",
    "\u200b": "", "\ufeff": "", "\u00a0": " ",
}  # fmt: skip


def _greek() -> dict[str, str]:
    found = {}
    for first, last in ((0x391, 0x3AA), (0x3B1, 0x3CA)):
        for point in range(first, last):
            name = unicodedata.name(chr(point), "").split()
            if len(name) == 4 and name[3] not in ("OMICRON", "LAMDA"):
                found[chr(point)] = "\\" + (name[3].lower() if name[1] == "SMALL" else name[3].capitalize())
    return found | {"λ": r"\lambda", "Λ": r"\Lambda"}


SYMBOLS = _greek() | _NAMED
"""Character -> TeX; every other character stands for itself."""
LOW = 0x3400
"""The tables know characters below; above are ideographs, a few marks, and the alphabets of mathematics."""
_BYTE_ORDER_MARK = 0xFEFF
STYLED, STYLED_BEHIND = 0x1D400, 0x1D800


def _shape(tex: str) -> int:
    if not tex:
        return EMPTY
    letters = tex.rpartition("\\")[2]
    if not (letters.isascii() and letters.isalpha()):
        return OTHER
    return LETTERS if letters == tex else COMMAND if tex == "\\" + letters else OPEN


_LIMITS = {"\\" + name for name in LIMIT_NAMES.split()}
_TEXTS = sorted(set(SYMBOLS.values()))
_INDEX = {tex: i for i, tex in enumerate(_TEXTS, 1)}
SYMBOL_OF = np.zeros(LOW, np.uint8)
for _character, _tex in SYMBOLS.items():
    if ord(_character) < LOW:
        SYMBOL_OF[ord(_character)] = _INDEX[_tex]
_NOTHING = _INDEX[""]
SYMBOL_BYTES = np.frombuffer("".join(_TEXTS).encode(), np.uint8)
SYMBOL_AT = np.cumsum([0, 0, *(len(tex) for tex in _TEXTS)]).astype(np.int32)
"""The TeX of symbol `i` is SYMBOL_BYTES[SYMBOL_AT[i] : SYMBOL_AT[i + 1]]."""
SYMBOL_SHAPE = np.array([EMPTY, *(_shape(tex) for tex in _TEXTS)], np.int32)
SYMBOL_FLAGS = np.array(
    [0, *(LETTER_FIRST * tex[:1].isalpha() | LIMIT * (tex in _LIMITS) for tex in _TEXTS)],
    np.int32,
)
PLAIN_LETTER = np.array([ord(unicodedata.normalize("NFKC", chr(c))) for c in range(STYLED, STYLED_BEHIND)], np.int32)
IS_LETTER = np.array([chr(c).isalpha() for c in range(LOW)], np.bool_)

ACCENT_NAMES = tuple(dict.fromkeys(ACCENTS.values()))
BAR, OVERLINE = 1 + ACCENT_NAMES.index("bar"), 1 + ACCENT_NAMES.index("overline")


def _accents() -> np.ndarray:
    """Character -> 1 + index into ACCENT_NAMES of what its TeX is above a letter, 0 for none."""
    found = np.zeros(LOW, np.uint8)
    for point in range(LOW):
        made = SYMBOLS.get(chr(point), chr(point))
        for sign, name in ACCENTS.items():
            if made in (sign, SYMBOLS.get(sign, sign)):
                found[point] = 1 + ACCENT_NAMES.index(name)
                break
    return found


ACCENT_OF = _accents()
FUNCTION_KEYS, FUNCTION_FLAGS = hash_table(
    {name.encode(): 4 | LIMIT * (f"\\{name}" in _LIMITS) for name in FUNCTION_NAMES.split()}, 7
)
"""Hash of a function's name -> its flags and a bit that is always set."""

_ELEMENTS = (
    "", "mi", "mn", "mo", "mtext", "ms", "mfrac", "msqrt", "mroot", "msup", "msub", "msubsup", "munder", "mover", "munderover",
    "mfenced", "mtable", "mtr", "mlabeledtr", "mspace", "mrow", "math", "mstyle", "mmultiscripts", "mprescripts", "none",
    "annotation", "annotation-xml", "mphantom", "maligngroup", "malignmark",
)  # fmt: skip
(_, MI, MN, MO, MTEXT, MS, MFRAC, MSQRT, MROOT, MSUP, MSUB, MSUBSUP, MUNDER, MOVER, MUNDEROVER, MFENCED, MTABLE, MTR,
 MLABELEDTR, MSPACE, MROW, MATH, MSTYLE, MMULTISCRIPTS, MPRESCRIPTS, NO_SCRIPT, DROPPED) = range(27)  # fmt: skip
ELEMENT_KEYS, ELEMENT_IDS = hash_table({name.encode(): min(i, DROPPED) for i, name in enumerate(_ELEMENTS) if i}, 7)
"""Hash of an element's name -> one of the numbers above. The content of a DROPPED one is left out."""


@leaf
def symbol_of(point):
    """Index of a character's TeX among the symbols, 0 where it stands for itself."""
    if point < LOW:
        return np.int64(SYMBOL_OF[point])
    return np.int64(_NOTHING) if point == _BYTE_ORDER_MARK else np.int64(0)


@leaf
def accent_of(point):
    return np.int64(ACCENT_OF[point]) if point < LOW else np.int64(0)


@leaf
def is_letter(point):
    """Whether a character is a letter; above LOW all but marks, emoji and private ones."""
    if point < LOW:
        return IS_LETTER[point]
    if 0xE000 <= point < 0xF900 or 0xFE00 <= point < 0xFE70 or 0xFF00 <= point < 0xFF21 or 0xFFE0 <= point < 0x10000:
        return False
    return not 0x1F000 <= point < 0x20000 and point < 0xE0000


@leaf
def white_space(data, at, end):
    """Bytes of the white space (of UTF-8) at `at`, 0 where there is none."""
    c = data[at]
    if c <= 32:
        return 1 if c == 32 or 9 <= c <= 13 or 28 <= c <= 31 else 0
    if c < 0xC2 or c > 0xE3:
        return 0
    if c == 0xC2:
        return 2 if at + 1 < end and (data[at + 1] == 0xA0 or data[at + 1] == 0x85) else 0
    if c < 0xE1 or at + 2 >= end:
        return 0
    second, third = data[at + 1], data[at + 2]
    if c == 0xE2 and second == 0x80:
        return 3 if 0x80 <= third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF else 0
    if c == 0xE2:
        return 3 if second == 0x81 and third == 0x9F else 0
    return 3 if (c == 0xE1 and second == 0x9A and third == 0x80) or (c == 0xE3 and second == 0x80 and third == 0x80) else 0


@leaf
def point_at(data, at, end):
    """(code point, position behind) of the UTF-8 at `at`; a byte that is none is U+FFFD."""
    c = np.int64(data[at])
    if c < 0x80:
        return c, at + 1
    size = 2 if 0xC2 <= c < 0xE0 else 3 if 0xE0 <= c < 0xF0 else 4 if 0xF0 <= c < 0xF5 else 1
    if size == 1 or at + size > end:
        return np.int64(0xFFFD), at + 1
    point = c & (0x7F >> size)
    for k in range(at + 1, at + size):
        if data[k] & 0xC0 != 0x80:
            return np.int64(0xFFFD), at + 1
        point = point << 6 | np.int64(data[k] & 0x3F)
    return min(point, np.int64(0x10FFFF)), at + size
