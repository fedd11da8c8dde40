"""curation/text/html_math and mathml: formulas as TeX, whatever a page wrote them in."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.text.html_math import tex_for_math
from curation.text.mathml import tex_of


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
         r"\begin{matrix} 1 & 0 \\  & 1 \end{matrix}"),
        ("<mi>&alpha;</mi><mi>x</mi><mo>&le;</mo><mi>&Omega;</mi>", r"\alpha x\leq\Omega"),
        ("<mi>sin</mi><mo>&#x2061;</mo><mi>x</mi>", r"\sin x"),
        ("<mtext>50% of all</mtext>", r"\text{50\% of all}"),
        ("<semantics><mi>x</mi><annotation-xml><ci>no</ci></annotation-xml></semantics>", "x"),
        ("<mi>x<!-- no > no --></mi>", "x"),
        ("<mi>𝐫</mi>", "r"),
        ("<m:mi>x</m:mi>", "x"),
        ("<mfrac linethickness='0'><mi>n</mi><mi>k</mi></mfrac>", r"\binom{n}{k}"),
        ("<mstyle><mi>x</mi>", "x"),
        ("", ""),
    ],
)  # fmt: skip
def test_mathml(inner: str, tex: str) -> None:
    assert tex_of(f"<math>{inner}</math>") == tex


@pytest.mark.parametrize(
    ("page", "read"),
    [
        ("<p>no formula</p>", "<p>no formula</p>"),
        ("a <math><mi>x</mi></math> b", "a $x$ b"),
        ("a <math display='block'><mi>x</mi></math> b", "a  $$x$$  b"),
        ("<math><semantics><mi>x</mi><annotation encoding='application/x-tex'>x_1 &lt; 2</annotation></semantics></math>",
         "$x_1 &lt; 2$"),
        ("<math alttext='{\\displaystyle E=mc^2}'><mi>E</mi></math>", "$E=mc^2$"),
        ("<script type='math/tex'>a<b</script>", "$a&lt;b$"),
        ("<script type=\"math/tex; mode=display\">a</script>", " $$a$$ "),
        ("<script id=m1 type=\"math/tex\">% <![CDATA[\na ]]></script>", "$% a$"),
        ("<math><mi>x</mi></math><span class='katex-html' aria-hidden=true><span>x</span></span>y", "$x$y"),
        ("<math>never closed", "<math>never closed"),
        ("<m:math><m:mi>x</m:mi></m:math>", "$x$"),
        ("<math></math>.", " ."),
    ],
)  # fmt: skip
def test_pages(page: str, read: str) -> None:
    assert bytes(tex_for_math(page.encode())).decode() == read


def test_a_page_without_formulas_is_not_copied() -> None:
    page = b"<p>" * 1000
    assert tex_for_math(page) is page


_PIECES = ("<math>", "</math>", "<mi>", "</mi>", "<mfrac>", "</mfrac>", "x", "&amp;", "<", ">", "<!--", "-->", "<mtd/>",
           "<script type='math/tex'>", "</script>", "<span class='katex-html'>", "</span>")  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(_PIECES)))
def test_any_pieces(pieces: list[str]) -> None:
    page = "".join(pieces).encode()
    assert b"<p>kept</p>" in tex_for_math(b"<p>kept</p>" + page)


def test_mathml_of_real_formulas_keeps_their_symbols(data_folder: Path) -> None:
    """Every letter and digit of the gold TeX's plain part, in the TeX made of the MathML without its annotations."""
    kept = wanted = 0
    with zipfile.ZipFile(data_folder / "math-html" / "mathmlben.zip") as files:
        for name in sorted(n for n in files.namelist() if n.endswith(".json")):
            entry = json.loads(files.read(name))
            element = re.sub(r"<annotation.*?</annotation[^>]*>", "", entry["correct_mml"], flags=re.DOTALL)
            leaves = re.findall(r"<m[in][^>]*>([^<]+)</m[in]>", element)
            tex = tex_of(element)
            assert tex.count("{") - tex.count(r"\{") == tex.count("}") - tex.count(r"\}"), name
            plain = [leaf for leaf in leaves if leaf.isascii() and leaf.isalnum()]
            wanted += len(plain)
            kept += sum(leaf in tex for leaf in plain)
    assert wanted > 1500 and kept / wanted > 0.999
