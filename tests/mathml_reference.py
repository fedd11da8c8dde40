r"""What the compiled conversion of formulas is checked against: the same in Python's strings and regular expressions.

Nothing here is bounded. Source: MathML 3 (W3C), chapter 3; ours.
"""

from __future__ import annotations

import html
import re
import unicodedata

from curation.text.math_symbols import ACCENTS, FUNCTION_NAMES, LIMIT_NAMES, SYMBOLS

MOST_FORMULA = 1 << 16
DEEPEST = 100

_START = re.compile(r"<(?:[A-Za-z]{1,8}:)?(math)(?=[\s>])|<(script|span)(\s[^<>]*)>", re.IGNORECASE)
_SPAN = re.compile(r"<(/?)span(?=[\s>/])", re.IGNORECASE)
_DRAWN = re.compile(r"katex-html|MathJax(?:_Preview|_SVG|_CHTML)?|mjx-chtml.*", re.IGNORECASE | re.DOTALL)
_NOTE = re.compile(r"<(?:[a-z]{1,8}:)?annotation([^<>]*)>", re.IGNORECASE)
_NOTE_END = re.compile(r"</(?:[a-z]{1,8}:)?annotation", re.IGNORECASE)
_TOKEN = re.compile(r"<(/?)(?:[A-Za-z]{1,8}:)?([A-Za-z][A-Za-z-]{0,30})([^<>]*?)(/?)>|<[^<>]*>|((?:[^<]|<(?![^<>]*>))+)")
_ATTRIBUTE = re.compile(r"([^\s=\"'/]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"']+))")

_DROPPED = frozenset({"annotation", "annotation-xml", "mphantom", "maligngroup", "malignmark", "mprescripts", "none"})
_LEAVES = frozenset({"mi", "mn", "mo", "mtext", "ms"})
_ROWS = frozenset({"mtr", "mlabeledtr"})
_FUNCTIONS = frozenset(FUNCTION_NAMES.split())
_LIMITS = frozenset(f"\\{name}" for name in LIMIT_NAMES.split())
_STYLED = re.compile("[\U0001d400-\U0001d7ff]")
_TEXT_SPECIAL = re.compile(r"[%#&$_{}\\]")


def page_with_tex(page: str) -> str:
    """The page with every formula as TeX."""
    out, at = [], 0
    search = 0
    drawings = True
    while start := _START.search(page, search):
        search = start.start() + 1
        attributes = _attributes(start[3] or "")
        end = behind = -1
        kind = (start[1] or start[2]).lower()
        if kind == "span":
            if not drawings or not _DRAWN.fullmatch(attributes.get("class", "")):
                continue
            behind = _behind_span(page, start.start())
            drawings = behind >= 0
        elif kind == "math" or attributes.get("type", "").lower().startswith(("math/tex", "math/mml")):
            close = re.compile(rf"</(?:[A-Za-z]{{1,8}}:)?{kind}(?!:[A-Za-z])", re.IGNORECASE).search(page, start.end())
            end = close.start() if close else -1
            behind = page.find(">", end) + 1 or -1
            if end < 0 or end - start.start() > MOST_FORMULA:
                continue
        if behind < 0:
            continue
        out.append(page[at : start.start()])
        if kind == "script":
            mode = "display" in start[3].lower()
            tex = page[start.end() : end]
            if "tex" in attributes["type"].lower()[:8]:
                tex = re.sub(r"%? *(?:<!\[CDATA\[|\]\]>)", "", tex, flags=re.IGNORECASE)
            else:
                tex = tex_noted(tex) or tex_of(tex)
            out.append(_delimited(tex, mode))
        elif kind == "math":
            close_of_tag = _tag_close(page, start.end(), end)
            attributes = _attributes(page[start.end() : max(close_of_tag, start.end())])
            inner = page[close_of_tag + 1 : end] if close_of_tag >= 0 else ""
            mode = attributes.get("display", "").lower().startswith("block")
            mode |= attributes.get("mode", "").lower().startswith("display")
            tex = tex_noted(inner) or _without_style(html.unescape(attributes.get("alttext", ""))) or tex_of(inner)
            out.append(_delimited(tex, mode))
        at = search = behind
    return "".join([*out, page[at:]])


def _attributes(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, double, single, plain in _ATTRIBUTE.findall(text):
        found.setdefault(name.lower(), double or single or plain)
    return found


def _tag_close(page: str, at: int, end: int) -> int:
    """Position of the `>` of a tag: the first outside of quotes, or else the first."""
    quoted = re.compile(r"(?:[^>\"']|\"[^\"]*\"|'[^']*')*>").match(page[at:end])
    return at + quoted.end() - 1 if quoted else page.find(">", at, end)


def tex_noted(element: str) -> str:
    """The TeX in the first annotation of it."""
    for note in _NOTE.finditer(element):
        if _attributes(note[1]).get("encoding", "").lower() in ("application/x-tex", "tex", "latex"):
            end = _NOTE_END.search(element, note.end())
            return _without_style(html.unescape(element[note.end() : end.start()])) if end else ""
    return ""


def _without_style(tex: str) -> str:
    tex = tex.strip()
    if not tex.lower().startswith(r"{\displaystyle") or not tex.endswith("}"):
        return tex
    depth = 0
    for sign in re.finditer(r"\\.|[{}]", tex, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(sign[0], 0)
        if not depth and sign[0] == "}":
            return tex[len(r"{\displaystyle") : -1].strip() if sign.end() == len(tex) else tex
    return tex


def _behind_span(page: str, at: int) -> int:
    depth = 0
    for tag in _SPAN.finditer(page, at, at + MOST_FORMULA):
        depth += -1 if tag[1] else 1
        if not depth:
            return page.find(">", tag.end()) + 1 or -1
    return -1


def _delimited(tex: str, display: bool) -> str:
    tex = " ".join(tex.split())
    if not tex:
        return " "
    mark, space = ("$$", " ") if display else ("$", "")
    tex = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", re.sub(r"&(?=[A-Za-z0-9#])", "&amp;", tex))
    return f"{space}{mark}{tex}{mark}{space}"


class _Node:
    """An open element: its name, the bytes of its attributes, and what its children became."""

    __slots__ = ("name", "attributes", "children", "before")

    def __init__(self, name: str, attributes: str) -> None:
        self.name, self.attributes = name, attributes
        self.children: list[str] = []
        self.before = 0


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
        parent = stack[-1]
        if name in ("none", "mprescripts") and not (end or dropped or flattened) and parent.name == "mmultiscripts":
            if name == "none":
                parent.children.append("")
            else:
                parent.before = len(parent.children)
        elif name in _DROPPED:
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
        command = r"\binom" if _attributes(node.attributes).get("linethickness") in ("0", "0pt", "0px") else r"\frac"
        return f"{command}{{{parts[0]}}}{{{parts[1]}}}"
    if name == "mmultiscripts" and parts:
        before = node.before or len(parts)
        pre, post = parts[before:], parts[1:before]
        return ("{}" + _scripts(pre) if pre else "") + _base(parts[0]) + _scripts(post)
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
    if name in ("mi", "mo") and text in _FUNCTIONS:
        return f"\\{text}"
    if name in ("mtext", "ms"):
        return rf"\text{{{_TEXT_SPECIAL.sub(_escaped, text)}}}" if text else " "
    if name == "mi" and len(text) > 1 and text.isascii() and text.isalpha():
        return rf"\mathrm{{{text}}}"
    return _symbols(text)


def _escaped(found: re.Match[str]) -> str:
    return r"\textbackslash{}" if found[0] == "\\" else "\\" + found[0]


def _symbols(text: str) -> str:
    if _STYLED.search(text):
        text = _STYLED.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    return _joined([SYMBOLS.get(char, char) for char in text])


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


def _scripts(parts: list[str]) -> str:
    made = ""
    for i, part in enumerate(parts):
        made += "{}" if i and i % 2 == 0 else ""
        made += f"{'^' if i % 2 else '_'}{{{part}}}" if part else ""
    return made


def _over(base: str, mark: str) -> str:
    accent = next((command for sign, command in ACCENTS.items() if mark in (sign, SYMBOLS.get(sign, sign))), None)
    if accent == "bar" and len(base) > 1:
        accent = "overline"
    return rf"\{accent}{{{base}}}" if accent else rf"\overset{{{mark}}}{{{base}}}"


def _fenced(node: _Node) -> str:
    given = {name: html.unescape(value) for name, value in _attributes(node.attributes).items()}
    first, last = (_symbols(given.get(name, sign).strip()) or "." for name, sign in (("open", "("), ("close", ")")))
    separators = "".join(given.get("separators", ",").split())
    parts = [r"\left", first]
    for i, part in enumerate(node.children):
        if i and separators:
            parts.append(_symbols(separators[min(i, len(separators)) - 1]))
        parts.append(part)
    return _joined([*parts, r"\right", last])
