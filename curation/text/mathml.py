r"""Presentation MathML as TeX: `<msup><mi>x</mi><mn>2</mn></msup>` becomes `x^{2}`.

Meant for reading and training, not for typesetting: spacing and fonts are left out, and what is not known passes as text.
Linear in the element; nesting beyond DEEPEST is flattened.

Source: MathML 3 (W3C), chapter 3; names of commands after The Comprehensive LaTeX Symbol List. The conversion is ours.
"""

from __future__ import annotations

import html
import re
import unicodedata

_TOKEN = re.compile(r"<(/?)(?:[A-Za-z]{1,8}:)?([A-Za-z][A-Za-z-]{0,30})([^<>]*?)(/?)>|<[^<>]*>|([^<]+|<)")
_ATTRIBUTE = re.compile(r"\b(open|close|separators|linethickness)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
DEEPEST = 100

_DROPPED = frozenset({"annotation", "annotation-xml", "mphantom", "maligngroup", "malignmark", "mprescripts", "none"})
_LEAVES = frozenset({"mi", "mn", "mo", "mtext", "ms"})
_ROWS = frozenset({"mtr", "mlabeledtr"})

_FUNCTION_NAMES = """
arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf ker lg lim liminf limsup ln log
max min Pr sec sin sinh sup tan tanh"""
_FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
_LIMIT_NAMES = "sum prod coprod bigcup bigcap int oint lim max min sup inf limsup liminf det gcd"
_LIMITS = frozenset(f"\\{name}" for name in _LIMIT_NAMES.split())
_ACCENTS = {
    "¯": "bar", "‾": "overline", "^": "hat", "ˆ": "hat", "→": "vec", "⃗": "vec", "~": "tilde", "˜": "tilde", "˙": "dot",
    "¨": "ddot", "⏞": "overbrace", "―": "overline", "−": "overline", "_": "overline",
}  # fmt: skip
_SYMBOLS = {
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


_SYMBOLS = _greek() | _SYMBOLS
_STYLED = re.compile("[\U0001d400-\U0001d7ff]")
"""Bold, script and other letters of mathematics, which become plain ones."""
_TEXT_SPECIAL = re.compile(r"[%#&$_{}\\]")


class _Node:
    """An open element: its name, the bytes of its attributes, and what its children became."""

    __slots__ = ("name", "attributes", "children")

    def __init__(self, name: str, attributes: str) -> None:
        self.name, self.attributes = name, attributes
        self.children: list[str] = []


def tex_of(element: str) -> str:
    """TeX of a MathML element, with or without its end tag; empty when nothing is in it."""
    root = _Node("math", "")
    stack = [root]
    dropped = flattened = 0
    for token in _TOKEN.finditer(_without_comments(element)):
        end, name, attributes, closed, text = token.groups()
        if text is not None:
            if not dropped:
                _add_text(stack[-1], text)
            continue
        if name is None:
            continue
        name = name.lower()
        if name in _DROPPED:
            dropped = max(dropped + (-1 if end else 0 if closed else 1), 0)
        elif dropped or (name == "math" and len(stack) == 1):
            continue
        elif not end and len(stack) > DEEPEST:
            flattened += not closed
        elif end and flattened:
            flattened -= 1
        elif not end:
            if stack[-1].name in _LEAVES:
                _close(stack)
            stack.append(_Node(name, attributes))
            if closed:
                _close(stack)
        elif any(node.name == name for node in stack[1:]):
            while stack[-1].name != name:
                _close(stack)
            _close(stack)
    while len(stack) > 1:
        _close(stack)
    return _joined(root.children)


def _without_comments(element: str) -> str:
    at, kept = 0, []
    while (start := element.find("<!--", at)) >= 0 and (end := element.find("-->", start + 4)) >= 0:
        kept.append(element[at:start])
        at = end + 3
    return "".join([*kept, element[at:]]) if kept or at else element


def _add_text(node: _Node, text: str) -> None:
    text = html.unescape(text)
    if node.name in _LEAVES:
        node.children.append(text)
    elif text.strip():
        node.children.append(_symbols(text.strip()))


def _close(stack: list[_Node]) -> None:
    node = stack.pop()
    parent = stack[-1]
    made = _made(node)
    # a row's cells and a script's parts keep their places, empty ones too
    if made or parent.name not in ("mrow", "math", "mstyle", "mtable"):
        parent.children.append(made)


def _made(node: _Node) -> str:
    name, parts = node.name, node.children
    if name in _LEAVES:
        return _leaf(name, " ".join("".join(parts).split()))
    two, three = len(parts) == 2, len(parts) == 3
    if name == "mfrac" and two:
        attributes = {found[1]: found[2] or found[3] or "" for found in _ATTRIBUTE.finditer(node.attributes)}
        command = r"\binom" if attributes.get("linethickness") in ("0", "0pt", "0px") else r"\frac"
        return f"{command}{{{parts[0]}}}{{{parts[1]}}}"
    if name == "msqrt":
        return rf"\sqrt{{{_joined(parts)}}}"
    if name == "mroot" and two:
        return rf"\sqrt[{parts[1]}]{{{parts[0]}}}"
    if name in ("msup", "msub") and two:
        return f"{_base(parts[0])}{'^' if name == 'msup' else '_'}{{{parts[1]}}}"
    if name == "msubsup" and three:
        return f"{_base(parts[0])}_{{{parts[1]}}}^{{{parts[2]}}}"
    if name == "munderover" and three:
        return f"{_base(parts[0])}_{{{parts[1]}}}^{{{parts[2]}}}"
    if name == "munder" and two:
        return f"{parts[0]}_{{{parts[1]}}}" if parts[0] in _LIMITS else rf"\underset{{{parts[1]}}}{{{parts[0]}}}"
    if name == "mover" and two:
        return _over(*parts)
    if name == "mfenced":
        return _fenced(node)
    if name == "mtable":
        return r"\begin{matrix} " + r" \\ ".join(parts) + r" \end{matrix}"
    if name in _ROWS:
        return " & ".join(parts)
    if name == "mspace":
        return " "
    return _joined(parts)


def _leaf(name: str, text: str) -> str:
    if name in ("mtext", "ms"):
        return rf"\text{{{_TEXT_SPECIAL.sub(_escaped, text)}}}" if text else " "
    if name == "mi" and len(text) > 1 and text.isascii() and text.isalpha():
        return f"\\{text}" if text in _FUNCTIONS else rf"\mathrm{{{text}}}"
    if name == "mo" and text in _FUNCTIONS:
        return f"\\{text}"
    return _symbols(text)


def _escaped(found: re.Match[str]) -> str:
    return r"\textbackslash{}" if found[0] == "\\" else "\\" + found[0]


def _symbols(text: str) -> str:
    if _STYLED.search(text):
        text = _STYLED.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    return _joined([_SYMBOLS.get(char, char) for char in text])


def _joined(parts: list[str]) -> str:
    """The parts one after the other, a blank where a command would run into a letter."""
    out: list[str] = []
    open_command = False
    for part in parts:
        if not part:
            continue
        if open_command and part[0].isalpha():
            out.append(" ")
        out.append(part)
        command = part.rpartition("\\")[2]
        open_command = "\\" in part and command.isascii() and command.isalpha()
    return "".join(out)


def _base(tex: str) -> str:
    """What a script hangs on, in braces where it is more than one symbol."""
    single = len(tex) == 1 or (tex.startswith("\\") and tex[1:].isalpha())
    return tex if single or (tex and tex[-1] in ")]|") else f"{{{tex}}}"


def _over(base: str, mark: str) -> str:
    accent = next((command for sign, command in _ACCENTS.items() if mark in (sign, _SYMBOLS.get(sign, sign))), None)
    if accent == "bar" and len(base) > 1:
        accent = "overline"
    return rf"\{accent}{{{base}}}" if accent else rf"\overset{{{mark}}}{{{base}}}"


def _fenced(node: _Node) -> str:
    given = {found[1]: html.unescape(found[2] or found[3] or "") for found in _ATTRIBUTE.finditer(node.attributes)}
    first, last = _symbols(given.get("open", "(")) or ".", _symbols(given.get("close", ")")) or "."
    separators = "".join(given.get("separators", ",").split())
    inner = node.children[0] if node.children else ""
    for i, part in enumerate(node.children[1:]):
        inner += (separators[min(i, len(separators) - 1)] if separators else "") + part
    return rf"\left{first}{inner}\right{last}"
