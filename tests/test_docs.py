"""Documents cannot lie: the reference is generated, every verb is documented, README blocks run, exports match files."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from curation.lazy import public_stages, render
from curation.recipe import load_recipe, recipe_names, stage_names
from curation.stage import ROOMS

ROOT = Path(__file__).resolve().parent.parent


def reference_module():
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return importlib.import_module("make_cli_reference")
    finally:
        sys.path.pop(0)


def test_the_command_reference_is_up_to_date() -> None:
    assert (ROOT / "docs/cli.md").read_text() == reference_module().reference(), "run: make docs"


def test_the_catalogue_of_stages_is_up_to_date() -> None:
    assert (ROOT / "docs/stages.md").read_text() == reference_module().render_markdown(), "run: make docs"


def test_a_stage_is_printed_whole_and_an_unknown_one_is_an_error() -> None:
    shown = subprocess.run([sys.executable, "-m", "curation.cli", "stages", "filters/fineweb"], capture_output=True, text=True)
    assert "line_punct_min = 0.12" in shown.stdout and "arXiv:2406.17557" in shown.stdout
    wrong = subprocess.run([sys.executable, "-m", "curation.cli", "stages", "fineweb"], capture_output=True, text=True)
    assert wrong.returncode == 1 and "did you mean filters/fineweb?" in wrong.stderr


def test_every_verb_has_help_and_is_named_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for verb in reference_module().verbs():
        help_text = subprocess.run(
            [sys.executable, "-m", "curation.cli", *verb.split(), "--help"], capture_output=True, text=True
        )
        assert help_text.returncode == 0 and len(help_text.stdout) > 200, verb
        assert verb == "demo" or f"curation {verb}" in readme, f"README.md does not show `curation {verb}`"


def python_blocks() -> list[tuple[str, str]]:
    found = []
    for path in (ROOT / "README.md", ROOT / "docs/how_it_works.md"):
        found += [(path.name, block) for block in re.findall(r"```python\n(.*?)```", path.read_text(), re.S)]
    return found


@pytest.mark.parametrize(("name", "block"), python_blocks())
def test_python_blocks_of_the_documents_run(name: str, block: str) -> None:
    scope: dict = {"__name__": f"block_of_{name}"}
    sys.modules[scope["__name__"]] = type(sys)(scope["__name__"])
    exec(compile(block, name, "exec"), scope)
    assert any(key in scope for key in ("PIPELINE", "NoShouting", "PUBLISHED"))


@pytest.mark.parametrize("room", [r for r in ROOMS if public_stages(ROOT / "curation" / r)])
def test_the_exports_of_a_room_are_its_files(room: str) -> None:
    folder = ROOT / "curation" / room
    text = (folder / "__init__.py").read_text()
    assert text == render(folder, text.split('"""')[1]), "run: python -m curation.lazy"
    module = importlib.import_module(f"curation.{room}")
    for name in public_stages(folder):
        assert getattr(module, name).__name__ == name
    with pytest.raises(AttributeError, match="it has"):
        _ = module.Nothing


def test_every_stage_has_a_docstring_with_its_fields() -> None:
    for name in stage_names():
        path = ROOT / "curation" / f"{name}.py"
        tree = ast.parse(path.read_text())
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name in public_stages(path.parent):
                doc = (ast.get_docstring(node) or "") + _base_docs(node, path.parent)
                fields = [s.target.id for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]
                missing = [f for f in fields if f not in doc and not f.isupper() and "ClassVar" not in _annotation(node, f)]
                assert doc and not missing, f"{name}: the docstring of {node.name} does not explain {missing}"


def _base_docs(node: ast.ClassDef, folder: Path) -> str:
    """Docstrings of a class's bases in the same room: fields they explain need not be explained again."""
    bases = {ast.unparse(b) for b in node.bases}
    trees = [ast.parse(p.read_text()) for p in folder.glob("*.py")]
    return " ".join(
        ast.get_docstring(n) or "" for t in trees for n in t.body if isinstance(n, ast.ClassDef) and n.name in bases
    )


def _annotation(node: ast.ClassDef, name: str) -> str:
    for s in node.body:
        if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name) and s.target.id == name:
            return ast.unparse(s.annotation)
    return ""


def test_all_recipes_load_and_survive_yaml() -> None:
    from curation.recipe import from_yaml, to_yaml

    assert {"common_crawl_english", "common_crawl_english_trafilatura", "demo"} <= set(recipe_names())
    for name in recipe_names():
        pipeline = load_recipe(name)
        again = from_yaml(to_yaml(pipeline, {"anything": 1}))
        assert again.fingerprint() == pipeline.fingerprint()
        assert to_yaml(again) == to_yaml(pipeline)


def test_no_machine_path_in_the_tree() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    forbidden = re.compile(r"(?<![\w.])/(?:work|root|home)/\w")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".yaml", ".json", ".ipynb", ".sh") and path.name != "test_docs.py":
            assert not forbidden.search(path.read_text(encoding="utf-8")), name


OWN_FILE = {
    "trafilatura": "curation/extractors/trafilatura.py",
    "resiliparse": "curation/extractors/resiliparse.py",
    "fasttext": "classifiers/linear_fasttext.py",
    "fasttext_new": "classifiers/train_fasttext.py",
    "lightgbm": ("classifiers/train_extractor.py", "curation/mixture/boosted_trees.py"),
    "kenlm": "classifiers/ngram_kenlm.py",
    "sentencepiece": ("classifiers/ngram_kenlm.py", "classifiers/train_ngram.py"),
    "ray": ("curation/runners/ray.py", "curation/runners/submit.py"),
    "torch": ("classifiers/", "curation/mixture/proxies"),
    "datatrove": ("curation/guard_datatrove.py", "curation/text/make_language_tokenizers.py"),
}


@pytest.mark.parametrize("library", OWN_FILE)
def test_a_library_is_imported_only_in_the_file_named_after_it(library: str) -> None:
    for path in [*(ROOT / "curation").rglob("*.py"), *(ROOT / "classifiers").rglob("*.py")]:
        if str(path.relative_to(ROOT)).startswith(OWN_FILE[library]):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert library not in {n.split(".")[0] for n in names}, f"{path.name} imports {library}"
