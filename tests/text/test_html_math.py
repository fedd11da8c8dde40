"""curation/text/html_math and mathml: formulas as TeX, whatever a page wrote them in."""

from __future__ import annotations

import html
import json
import random
import re
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mathml_reference import page_with_tex

from curation.text.html_math import MOST_FORMULA, tex_for_math
from curation.text.math_leaves import LONGEST_FUNCTION
from curation.text.math_symbols import FUNCTION_NAMES, IS_LETTER, LOW, SYMBOLS, is_letter
from curation.text.mathml import DEEPEST


def read(page: str) -> str:
    return bytes(tex_for_math(page.encode())).decode()


def tex_of(element: str) -> str:
    """The TeX of a formula, as a page's text shows it."""
    made = html.unescape(read(element)).strip()
    return made.strip("$") if made else made


@pytest.mark.parametrize(
    ("inner", "tex"),
    [
        ("<mfrac><mi>a</mi><mrow><mi>b</mi><mo>+</mo><mn>1</mn></mrow></mfrac>", r"\frac{a}{b+1}"),
        ("<msup><mi>x</mi><mn>2</mn></msup>", "x^{2}"),
        ("<msup><mrow><mi>x</mi><mo>+</mo><mi>y</mi></mrow><mn>2</mn></msup>", "{x+y}^{2}"),
        ("<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>", "x_{i}^{2}"),
        ("<msqrt><mi>x</mi><mo>+</mo><mn>1</mn></msqrt>", r"\sqrt{x+1}"),
        ("<mroot><mi>x</mi><mn>3</mn></mroot>", r"\sqrt[3]{x}"),
        ("<munderover><mo>&sum;</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover><mi>i</mi>",
         r"\sum_{i=1}^{n}i"),
        ("<munder><mi>lim</mi><mrow><mi>x</mi><mo>→</mo><mn>0</mn></mrow></munder>", r"\lim_{x\to0}"),
        ("<mover><mi>v</mi><mo>→</mo></mover>", r"\vec{v}"),
        ("<mover><mi>x</mi><mo>¯</mo></mover>", r"\bar{x}"),
        ("<mfenced open='[' close=')'><mi>a</mi><mi>b</mi></mfenced>", r"\left[a,b\right)"),
        ("<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>0</mn></mtd></mtr><mtr><mtd/><mtd><mn>1</mn></mtd></mtr></mtable>",
         r"\begin{matrix} 1 & 0 \\ & 1 \end{matrix}"),
        ("<mi>&alpha;</mi><mi>x</mi><mo>&le;</mo><mi>&Omega;</mi>", r"\alpha x\leq\Omega"),
        ("<mi>sin</mi><mo>&#x2061;</mo><mi>x</mi>", r"\sin x"),
        ("<munder><mtext>lim</mtext><mi>n</mi></munder>", r"\underset{n}{\text{lim}}"),
        ("<mtext>50% of all</mtext>", r"\text{50\% of all}"),
        ("<semantics><mi>x</mi><annotation-xml><ci>no</ci></annotation-xml></semantics>", "x"),
        ("<mi>x<!-- no > no --></mi>", "x"),
        ("<mi>𝐫</mi>", "r"),
        ("<m:mi>x</m:mi>", "x"),
        ("<mfrac linethickness='0'><mi>n</mi><mi>k</mi></mfrac>", r"\binom{n}{k}"),
        ("<mfrac linethickness=0><mi>n</mi><mi>k</mi></mfrac>", r"\binom{n}{k}"),
        ("<mfenced open='⟨' close='⟩'><mi>x</mi></mfenced>", r"\left\langle x\right\rangle"),
        ("<mfenced open='' close=' | ' separators='; ,'><mi>&alpha;</mi><mi>b</mi><mi>c</mi><mi>d</mi></mfenced>",
         r"\left.\alpha;b,c,d\right|"),
        ("<mfenced separators=''><mi>&alpha;</mi><mi>x</mi></mfenced>", r"\left(\alpha x\right)"),
        ("<mover><mi>AB</mi><mo>¯</mo></mover>", r"\overline{\mathrm{AB}}"),
        ("<mover><mo>=</mo><mtext>def</mtext></mover>", r"\overset{\text{def}}{=}"),
        ("<msup><mrow><mo>(</mo><mi>x</mi><mo>)</mo></mrow><mn>2</mn></msup>", "(x)^{2}"),
        ("<mi>a</mi><mo><</mo><mi>b</mi>", "a<b"),
        ("<mtext>  a &nbsp; b\n</mtext>", r"\text{a b}"),
        ("<mmultiscripts><mi>R</mi><mi>i</mi><none/><mi>j</mi><mi>k</mi><mprescripts/><none></none><mi>l</mi></mmultiscripts>",
         "{}^{l}R_{i}{}_{j}^{k}"),
        ("<mmultiscripts><mi>C</mi><mprescripts/><mn>6</mn><mn>14</mn></mmultiscripts>", "{}_{6}^{14}C"),
        ("<mstyle><mi>x</mi>", "x"),
        ("", ""),
    ],
)  # fmt: skip
def test_mathml(inner: str, tex: str) -> None:
    assert tex_of(f"<math>{inner}</math>") == tex


@pytest.mark.parametrize(
    ("page", "wanted"),
    [
        ("<p>no formula</p>", "<p>no formula</p>"),
        ("a <math><mi>x</mi></math> b", "a $x$ b"),
        ("a <math display='block'><mi>x</mi></math> b", "a  $$x$$  b"),
        ("<math><semantics><mi>x</mi><annotation encoding='application/x-tex'>x_1 &lt; 2</annotation></semantics></math>",
         "$x_1 < 2$"),
        ("<math><semantics><mi>x</mi><annotation encoding='TeX'> </annotation></semantics></math>", "$x$"),
        ("<math alttext=''><mi>E</mi></math>", "$E$"),
        ("<math alttext='a>b'><mi>E</mi></math>", "$a>b$"),
        ("<math alttext='{\\displaystyle a}+{b}'></math>", "${\\displaystyle a}+{b}$"),
        ("<MATH><mi>x</mi></math>", "$x$"),
        ("<script type='math/mml; mode=display'><math><mi>x</mi></math></script>", " $$x$$ "),
        ("<script type='math/tex'>% <![CDATA[\na\n%]]></script>", "$a$"),
        ("<math alttext='{\\displaystyle E=mc^2}'><mi>E</mi></math>", "$E=mc^2$"),
        ("<script type='math/tex'>a<b</script>", "$a&lt;b$"),
        ("<script type=\"math/tex; mode=display\">a</script>", " $$a$$ "),
        ("<script id=m1 type=\"math/tex\">% <![CDATA[\na ]]></script>", "$a$"),
        ("<math><mi>x</mi></math><span class='katex-html' aria-hidden=true><span>x</span></span>y", "$x$y"),
        ("<math>never closed", "<math>never closed"),
        ("<m:math><m:mi>x</m:mi></m:math>", "$x$"),
        ("<math></math>.", " ."),
    ],
)  # fmt: skip
def test_pages(page: str, wanted: str) -> None:
    assert read(page) == wanted


def test_a_page_without_formulas_is_not_copied() -> None:
    page = b"<p>" * 1000
    assert tex_for_math(page) is page


_TAGS = (
    "math", "mi", "mo", "mn", "mtext", "mrow", "mfrac", "msqrt", "mroot", "msup", "msub", "msubsup", "munder", "mover",
    "mtable", "munderover", "mfenced", "mtr", "mtd", "mspace", "mstyle", "mphantom", "semantics", "m:mi", "x-y",
    "mmultiscripts", "none", "mprescripts",
)  # fmt: skip
_ATTRIBUTES = ("", "", "", " open='['", ' close="⟩"', " separators=';|'", " separators=''", " linethickness=0", " open", " a='")
_SIGNS = "xy1α→−ε∑¯^~_-{}\\$%&<;> \u00a0\n\u2003ж中𝐫𝟎ﬀ|)]'\"" + "".join(sorted(SYMBOLS)[:40])
_NAMED = ("sin", "lim", "dx", "&alpha;", "&sum;", "&amp", "&lt;", "&#x2061;", "&NotEqualTilde;", "→")
_TEXTS = st.one_of(st.text(st.sampled_from(_SIGNS), max_size=4), st.sampled_from(_NAMED))
_ELEMENTS = st.recursive(
    st.builds("<{0}{1}>{2}</{0}>".format, st.sampled_from(_TAGS[1:5]), st.sampled_from(_ATTRIBUTES), _TEXTS),
    lambda inner: st.builds(
        lambda tag, attributes, parts: f"<{tag}{attributes}>{''.join(parts)}</{tag}>",
        st.sampled_from(_TAGS), st.sampled_from(_ATTRIBUTES), st.lists(inner, max_size=4),
    ),
)  # fmt: skip


@settings(max_examples=1000, deadline=None)
@given(_ELEMENTS)
def test_generated_formulas_read_as_by_the_reference(element: str) -> None:
    page = f"<p>a</p><math>{element}</math>b"
    assert read(page) == page_with_tex(page)


_PIECES = (
    "<math>", "</math>", "<m:math >", "</m:math>", "<math display='block'>", '<math alttext="x>y">', "<math a='", "<MATH\n>",
    "x", " ", "&amp;", "<", ">", "<!--", "-->", "<mtd/>", "'", '"', "<annotation encoding='TeX'>", "</annotation>", "\\", "%",
    "{\\displaystyle a}", "<![CDATA[", "]]>", "<script type='math/tex'>", "<script type=math/mml;mode=display>", "</script>",
    "<script>", "<span class='katex-html'>", "<span>", "</span>", "<SPAN class=MathJax_Preview >", "<span class=mjx-chtml-x/>",
    *(f"<{tag}>" for tag in _TAGS), *(f"</{tag}>" for tag in _TAGS),
)  # fmt: skip


@settings(max_examples=2000, deadline=None)
@given(st.lists(st.sampled_from(_PIECES)))
def test_any_pieces_read_as_by_the_reference(pieces: list[str]) -> None:
    page = "<math>" + "".join(pieces)
    assert read(page) == page_with_tex(page)


def _real_pages(folder: Path) -> list[str]:
    pages = []
    for archive in ("openstax-calculus-cnxml.zip", "mathmlben.zip", "lilianweng.zip"):
        with zipfile.ZipFile(folder / "math-html" / archive) as files:
            for name in sorted(files.namelist()):
                text = files.read(name).decode("utf-8", "replace")
                if name.endswith((".cnxml", ".html")):
                    pages.append(text)
                elif name.endswith(".json"):
                    element = json.loads(text)["correct_mml"]
                    pages += [element, re.sub(r"<annotation.*?</annotation[^>]*>|alttext=", "", element, flags=re.DOTALL)]
    return pages


def test_real_formulas_read_as_by_the_reference(data_folder: Path) -> None:
    pages = _real_pages(data_folder)
    assert len(pages) > 800
    for page in pages:
        assert read(page) == page_with_tex(page)


def test_mutated_formulas_read_as_by_the_reference(data_folder: Path) -> None:
    """Pieces of real formulas moved, doubled and cut."""
    chance = random.Random(7)
    pages = [page[max(page.find("<math"), page.find("<m:math"), 0) :][:3000] for page in _real_pages(data_folder)]
    signs = ("<", ">", "'", '"', "/", *_PIECES)
    for _ in range(4000):
        page = chance.choice(pages)
        for _ in range(chance.randint(1, 8)):
            a, b, c = (chance.randrange(len(page) + 1) for _ in range(3))
            piece = chance.choice((page[a : a + chance.randint(1, 60)], chance.choice(signs)))
            page = (page[:b] + piece + page[c if chance.random() < 0.3 else b :])[:6000]
        if "&#" not in page:  # numbers of no character are read as the segmenter reads them
            assert read(page) == page_with_tex(page)


def test_tables_know_what_the_library_of_python_knows() -> None:
    assert max(len(name) for name in FUNCTION_NAMES.split()) == LONGEST_FUNCTION
    assert all(ord(sign) < LOW or sign == "\ufeff" for sign in SYMBOLS)
    assert all(IS_LETTER[point] == chr(point).isalpha() for point in range(LOW))
    assert is_letter(ord("中")) and is_letter(ord("한")) and not is_letter(ord("😀")) and not is_letter(0xFFFD)


def test_every_formula_of_a_large_page_is_converted() -> None:
    page = "<p>a</p>" + "<math><msup><mi>x</mi><mn>2</mn></msup></math>\n" * 60_000
    assert read(page) == "<p>a</p>" + "$x^{2}$\n" * 60_000


def test_a_formula_too_long_stays_as_it_is() -> None:
    long = "<math><mi>" + "x" * MOST_FORMULA + "</mi></math>"
    assert read(long + "<math><mi>y</mi></math>") == long + "$y$"


def test_formulas_that_would_swell_the_page_keep_their_characters() -> None:
    swelling = "<math display=block><mtext>" + "\\" * 50_000 + "</mtext><mi>&alpha;</mi>< <</math>"
    page = "<math><mi>x</mi></math>" + swelling * 10 + "<math><mi>&alpha;</mi></math>"
    made = read(page)
    assert made == "$x$" + ("$  " + "\\" * 50_000 + "  &alpha;    $") * 10 + "$  &alpha; $"


def test_deep_formulas_are_flattened() -> None:
    deep = "<math>" + "<msqrt>" * (3 * DEEPEST) + "<mi>x</mi>" + "</msqrt>" * (3 * DEEPEST) + "<mi>y</mi></math>"
    assert read(deep) == page_with_tex(deep) == "$" + r"\sqrt{" * DEEPEST + "x" + "}" * DEEPEST + "y$"


def test_bytes_that_are_no_utf8() -> None:
    made = bytes(tex_for_math(b"\xff<math><mi>\xff\xc3</mi><mo>\xe2\x88</mo><mtext>\xf0\x9f</mtext></math>\xff"))
    assert made.startswith(b"\xff$") and made.endswith(b"$\xff") and b"<" not in made


def test_mathml_of_real_formulas_keeps_their_symbols(data_folder: Path) -> None:
    """Every letter and digit of the gold TeX's plain part, in the TeX made of the MathML without its annotations."""
    kept = wanted = 0
    with zipfile.ZipFile(data_folder / "math-html" / "mathmlben.zip") as files:
        for name in sorted(n for n in files.namelist() if n.endswith(".json")):
            entry = json.loads(files.read(name))
            element = re.sub(r"<annotation.*?</annotation[^>]*>|alttext=", "", entry["correct_mml"], flags=re.DOTALL)
            leaves = re.findall(r"<m[in][^>]*>([^<]+)</m[in]>", element)
            tex = tex_of(element)
            assert tex.count("{") - tex.count(r"\{") == tex.count("}") - tex.count(r"\}"), name
            plain = [leaf for leaf in leaves if leaf.isascii() and leaf.isalnum()]
            wanted += len(plain)
            kept += sum(leaf in tex for leaf in plain)
    assert wanted > 1500 and kept / wanted > 0.999
