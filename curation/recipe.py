"""Recipes as values: find one by name or path, find a stage by its path, turn a pipeline into YAML and back.

The frozen YAML is closed: known keys only, stage names `[a-z0-9_/]+`, no tags, no interpolation. A stage outside this
package (`package.module:Class`, `./file.py:Class`) is loaded from a YAML recipe only when code is allowed.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from curation.errors import RecipeError, explain_mismatch
from curation.lazy import public_stages
from curation.pipeline import Pipeline
from curation.stage import ROOMS, Filter, GlobalStage, Sink, Source, Stage

_NAME = re.compile(r"[a-z0-9_]+/[a-z0-9_]+")
_KEYS = {"name", "description", "source", "stages", "sink"}


def recipe_folder() -> Path:
    """Where the recipes that come with the package lie: beside it in a checkout, inside it when installed."""
    inside = Path(__file__).parent / "_pipelines"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "pipelines"


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(p.stem for p in recipe_folder().glob("*.py"))


def load_recipe(recipe: str, *, allow_code: bool = False) -> Pipeline:
    """The pipeline of a name, a .py file (its value PIPELINE) or a .yaml file.

    Raises RecipeError when there is none, listing the names there are.
    """
    path = Path(recipe)
    if path.suffix in (".yaml", ".yml"):
        _need_file(path)
        text = path.read_text(encoding="utf-8")
        return _beside(path, from_yaml(text, allow_code=allow_code, folder=path.resolve().parent))
    if path.suffix != ".py":
        path = recipe_folder() / f"{recipe}.py"
        if not path.is_file():
            near = get_close_matches(recipe, recipe_names(), n=1)
            raise RecipeError(
                explain_mismatch(
                    f"no recipe {recipe!r}",
                    wanted="a .py or .yaml file, or one of " + ", ".join(recipe_names()),
                    found=recipe,
                    hint=f"did you mean {near[0]!r}?" if near else "curation run common_crawl_english --help",
                )
            )
    _need_file(path)
    pipeline = getattr(_load_file(path), "PIPELINE", None)
    if not isinstance(pipeline, Pipeline):
        raise RecipeError(explain_mismatch(f"{path}", wanted="a value PIPELINE = Pipeline(...)", found=repr(pipeline)))
    return _beside(path, pipeline)


def _beside(path: Path, pipeline: Pipeline) -> Pipeline:
    """The pipeline with relative files and folders of its stages found beside the recipe, where they lie there."""

    def placed(stage: Stage) -> Any:
        values = {name: getattr(stage, name) for name in stage.path_fields}
        found = {name: place for name, value in values.items() if (place := _place(path.resolve().parent, value)) != value}
        return dataclasses.replace(stage, **found) if found else stage

    stages = tuple(placed(stage) for stage in pipeline.stages)
    return dataclasses.replace(pipeline, source=placed(pipeline.source), stages=stages, sink=placed(pipeline.sink))


def _place(folder: Path, value: Any) -> Any:
    """A relative path, or each of a list, as it lies in the recipe's folder, where it lies there; any other value as it is."""
    if isinstance(value, (list, tuple)):
        return type(value)(_place(folder, item) for item in value)
    if isinstance(value, str) and value and not value.startswith("package:") and not Path(value).is_absolute():
        return str(folder / value) if (folder / value).exists() else value
    return value


def _need_file(path: Path) -> None:
    if not path.is_file():
        raise RecipeError(explain_mismatch("recipe file not found", wanted=str(path), found="no such file"))


def _load_file(path: Path):
    """Import a file once per content; its module name is made from its path so that workers can do the same."""
    name = "curation_user_" + re.sub(r"\W", "_", str(path.resolve()))
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RecipeError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def find_stage(name: str, *, allow_code: bool = False) -> type[Stage]:
    """The stage class of a path: `filters/threshold`, `package.module:Class` or `./file.py:Class`.

    Raises RecipeError when there is none or when the form needs `allow_code`.
    """
    if ":" in name:
        return _find_user_stage(name, allow_code)
    if not _NAME.fullmatch(name) or name.split("/")[0] not in ROOMS:
        raise RecipeError(
            explain_mismatch(
                "not the name of a stage",
                wanted="room/stage with a room of " + ", ".join(ROOMS) + ", or package.module:Class",
                found=name,
            )
        )
    module_name = "curation." + name.replace("/", ".")
    if importlib.util.find_spec(module_name.rsplit(".", 1)[0]) is None or importlib.util.find_spec(module_name) is None:
        near = get_close_matches(name, stage_names(), n=3)
        raise RecipeError(f"no stage {name!r}" + (f"; near: {', '.join(near)}" if near else ""))
    return stage_class(importlib.import_module(module_name))


def stage_class(module) -> type[Stage]:
    """The one public stage class a module defines. RecipeError when there is none or more than one."""
    abstract = {Stage, Filter, GlobalStage, Source, Sink}
    found = [
        value
        for key, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, Stage)
        and value not in abstract
        and value.__module__ == module.__name__
        and not key.startswith("_")
    ]
    if len(found) != 1:
        names = ", ".join(c.__name__ for c in found) or "none"
        raise RecipeError(explain_mismatch(f"{module.__name__}", wanted="one public Stage class", found=names))
    return found[0]


def stage_names() -> list[str]:
    """Paths of all stages that come with the package: the files of the rooms that define one public stage."""
    root = Path(__file__).parent
    return [f"{room}/{stem}" for room in ROOMS for stem in sorted(public_stages(root / room).values())]


def _find_user_stage(name: str, allow_code: bool) -> type[Stage]:
    if not allow_code:
        raise RecipeError(
            f"this recipe names a stage of its own code, {name!r}, which is not run unasked\n"
            "  try:    read that code, then run with --allow-code"
        )
    where, _, class_name = name.rpartition(":")
    module = _load_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    found = getattr(module, class_name, None)
    if not (inspect.isclass(found) and issubclass(found, Stage)):
        raise RecipeError(explain_mismatch(f"stage {name!r}", wanted=f"a Stage class {class_name}", found=repr(found)))
    return found


def user_stage_name(stage: Stage) -> str:
    """The name under which another process finds this stage again."""
    module = sys.modules.get(type(stage).__module__)
    if type(stage).__module__.startswith("curation_user_") and module is not None and module.__file__:
        return f"{Path(module.__file__).resolve()}:{type(stage).__qualname__}"
    return stage.name


def to_value(pipeline: Pipeline) -> dict[str, object]:
    """A pipeline as plain lists, mappings, strings and numbers, every default written out."""
    return {
        "name": pipeline.name,
        "description": pipeline.description,
        "source": _stage_value(pipeline.source),
        "stages": [_stage_value(stage) for stage in pipeline.stages],
        "sink": _stage_value(pipeline.sink),
    }


def _stage_value(stage: Stage) -> dict[str, object]:
    fields = {name: _plain(value) for name, value in _fields(stage).items()}
    return {"stage": user_stage_name(stage), "label": stage.label, **fields}


def _fields(stage: Stage) -> dict[str, object]:
    return {f.name: getattr(stage, f.name) for f in dataclasses.fields(stage) if f.name != "label"}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(v) for v in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise RecipeError(f"a stage's field holds {type(value).__name__}, which YAML cannot carry: {value!r}")


def to_yaml(pipeline: Pipeline, extra: Mapping[str, object] | None = None) -> str:
    """The frozen recipe as YAML; `extra` becomes a comment-free block `run` that loading ignores."""
    value: dict[str, object] = dict(to_value(pipeline))
    if extra:
        value["run"] = dict(extra)
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110)


def from_yaml(text: str, *, allow_code: bool = False, folder: Path | None = None) -> Pipeline:
    """Read a frozen recipe; relative files of its stages may lie in `folder`. Unknown keys, unknown fields and foreign
    stages are RecipeErrors."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"the recipe is not readable YAML: {error}") from error
    return from_value(value, allow_code=allow_code, folder=folder)


def from_value(value: object, *, allow_code: bool = False, folder: Path | None = None) -> Pipeline:
    """The pipeline of a value as `to_value` makes it; relative files of its stages may lie in `folder`."""
    if not isinstance(value, dict):
        raise RecipeError(explain_mismatch("recipe", wanted="a mapping", found=type(value).__name__))
    unknown = set(value) - _KEYS - {"run"}
    missing = {"name", "source", "stages", "sink"} - set(value)
    if unknown or missing:
        found = ", ".join(map(str, value))
        raise RecipeError(explain_mismatch("recipe keys", wanted=", ".join(sorted(_KEYS)), found=found))
    if not isinstance(value["stages"], Sequence) or isinstance(value["stages"], str):
        raise RecipeError("recipe: `stages` must be a list")
    source = _stage_from(value["source"], allow_code, folder)
    sink = _stage_from(value["sink"], allow_code, folder)
    if not isinstance(source, Source) or not isinstance(sink, Sink):
        raise RecipeError(f"recipe: `source` must be a Source and `sink` a Sink, found {source.name} and {sink.name}")
    stages = tuple(_stage_from(entry, allow_code, folder) for entry in value["stages"])
    return Pipeline(str(value["name"]), source, stages, sink, description=str(value.get("description", "")))


def _stage_from(entry: object, allow_code: bool, folder: Path | None) -> Stage:
    if not isinstance(entry, dict) or not isinstance(entry.get("stage"), str):
        raise RecipeError(explain_mismatch("recipe stage", wanted="a mapping with the key `stage`", found=repr(entry)[:200]))
    cls = find_stage(entry["stage"], allow_code=allow_code)
    fields = {k: v for k, v in entry.items() if k != "stage"}
    if folder is not None:
        fields |= {name: _place(folder, fields[name]) for name in cls.path_fields if name in fields}
    stage = build_stage(cls, fields)
    if stage.foreign_code and not allow_code:
        raise RecipeError(
            f"this recipe's stage {entry['stage']!r} imports code of its own, {', '.join(stage.foreign_code)}, "
            "which is not run unasked\n  try:    read that code, then run with --allow-code"
        )
    return stage


def build_stage(cls: type[Stage], fields: Mapping[str, object]) -> Stage:
    """A stage from plain values; lists become tuples. RecipeError names unknown fields and lists the known."""
    known = {f.name for f in dataclasses.fields(cls)}
    unknown = sorted(set(fields) - known)
    if unknown:
        raise RecipeError(
            explain_mismatch(
                f"{cls.__name__} has no field {', '.join(unknown)}",
                wanted=", ".join(sorted(known)),
                found=", ".join(unknown),
            )
        )
    try:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        return cls(**values)
    except TypeError as error:
        raise RecipeError(f"{cls.__name__}: {error}") from error


def with_settings(pipeline: Pipeline, settings: Sequence[str]) -> Pipeline:
    """The pipeline with `label.field=value` settings applied; values are YAML scalars or lists.

    Raises RecipeError for an unknown label, field or form.
    """
    for setting in settings:
        target, equals, text = setting.partition("=")
        label, dot, name = target.partition(".")
        if not equals or not dot:
            raise RecipeError(explain_mismatch("--set", wanted="label.field=value", found=setting))
        stage = pipeline.stage(label)
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RecipeError(f"--set {setting}: the value is not readable YAML: {error}") from error
        fields = {**_fields(stage), "label": stage.label}
        if name not in fields:
            wanted = ", ".join(k for k in fields if k != "label")
            raise RecipeError(explain_mismatch(f"stage {label!r} has no field {name!r}", wanted=wanted, found=name))
        changed = build_stage(type(stage), {**fields, name: value})
        pipeline = dataclasses.replace(
            pipeline,
            source=changed if isinstance(changed, Source) else pipeline.source,
            sink=changed if isinstance(changed, Sink) else pipeline.sink,
            stages=tuple(changed if s is stage else s for s in pipeline.stages),
        )
    return pipeline
