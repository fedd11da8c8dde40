"""Launcher examples: held against the schemas that are installed, checked as shell, and run where that needs no cluster."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_demo import outputs

from curation.recipe import recipe_names

LAUNCHERS = Path(__file__).parent.parent / "docs/launchers"
SCRIPTS = sorted(LAUNCHERS.glob("*.sbatch"))

# What KubeRay's CRD (ray.io/v1, version 1.6) knows. Set CURATION_KUBERAY_CRD to a file ray.io_rayjobs.yaml to check against all
# of it: the examples passed that of August 2026, with unknown fields refused.
RAYJOB = {
    "entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "rayClusterSpec", "runtimeEnvYAML",
    "submissionMode", "activeDeadlineSeconds", "suspend", "clusterSelector", "metadata", "jobId",
}  # fmt: skip
RAYCLUSTER = {"rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec", "workerGroupSpecs"}
HEAD = {"rayStartParams", "template", "serviceType", "resources", "labels"}
WORKERS = {"groupName", "minReplicas", "replicas", "maxReplicas", "rayStartParams", "template", "idleTimeoutSeconds", "labels"}


def read(name: str) -> Any:
    return yaml.safe_load((LAUNCHERS / name).read_text(encoding="utf-8"))


def test_the_cluster_file_fits_rays_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    found = find_spec("ray")
    if found is None or not found.origin:
        pytest.skip("the extra `ray` is not installed")
    schema = json.loads((Path(found.origin).parent / "autoscaler/ray-schema.json").read_text())
    validator = jsonschema.Draft7Validator(schema)
    cluster = read("ray-cluster.yaml")
    assert [error.message for error in validator.iter_errors(cluster)] == []
    assert list(validator.iter_errors({**cluster, "workers": 3})), "the schema refuses what it does not know"
    kinds = cluster["available_node_types"]
    assert cluster["head_node_type"] in kinds and kinds["head"]["resources"] == {"CPU": 0}
    assert sum(kind["max_workers"] for kind in kinds.values()) <= cluster["max_workers"]
    for start in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert any("RAY_AUTH_MODE=token" in command for command in cluster[start])


def test_the_rayjob_has_fields_that_kuberay_knows() -> None:
    job = read("kuberay-rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    assert set(spec) <= RAYJOB and set(cluster) <= RAYCLUSTER and set(cluster["headGroupSpec"]) <= HEAD
    assert cluster["authOptions"]["mode"] == "token"
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        assert group is cluster["headGroupSpec"] or set(group) <= WORKERS
        assert all(isinstance(value, str) for value in group["rayStartParams"].values()), "a map of strings"
        (container,) = group["template"]["spec"]["containers"]
        assert {"name", "image", "resources"} == set(container)
    workers = cluster["workerGroupSpecs"][0]
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]


def test_the_rayjob_fits_the_resource_definition() -> None:
    file = os.environ.get("CURATION_KUBERAY_CRD")
    if not file:
        pytest.skip("set CURATION_KUBERAY_CRD to KubeRay's ray.io_rayjobs.yaml")
    jsonschema = pytest.importorskip("jsonschema")
    versions = yaml.safe_load(Path(file).read_text())["spec"]["versions"]
    schema = next(version["schema"]["openAPIV3Schema"] for version in versions if version["name"] == "v1")
    for node in _nodes(schema["properties"]["spec"]):
        if "properties" in node and not node.get("x-kubernetes-preserve-unknown-fields"):
            node.setdefault("additionalProperties", False)
        if node.get("x-kubernetes-int-or-string"):
            node.pop("type", None)
    assert [e.message for e in jsonschema.Draft7Validator(schema).iter_errors(read("kuberay-rayjob.yaml"))] == []


def _nodes(value: Any) -> Iterator[dict]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(inner)


def test_what_the_examples_run_is_what_the_command_line_takes() -> None:
    """The options in every example exist, and its recipe too."""
    import typer.main

    from curation.cli import app

    command: Any = typer.main.get_command(app)
    options = {name for parameter in command.commands["run"].params for name in parameter.opts}
    job = read("kuberay-rayjob.yaml")["spec"]["entrypoint"].split()
    assert job[:4] == ["python", "-m", "curation.cli", "run"] and job[4] in recipe_names()
    used = {word for word in job if word.startswith("--")}
    for script in SCRIPTS:
        call = script.read_text().split("curation run", 2)[-1]
        used |= set(re.findall(r"(?<!\S)--[a-z-]+", call))
    assert {"--runner", "--address", "--slice", "--workers", "--wait-minutes"} <= used
    assert used <= options


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text()
    assert "set -euo pipefail" in text and "#SBATCH --requeue" in text
    checker = shutil.which("shellcheck") or str(Path(sys.executable).with_name("shellcheck"))
    if Path(checker).exists():
        found = subprocess.run([checker, str(script)], capture_output=True, text=True)
        assert found.returncode == 0, found.stdout
    unasked = subprocess.run(["bash", str(script)], capture_output=True, text=True)
    assert unasked.returncode == 2 and "usage" in unasked.stderr


# Each stands for a program of Slurm: srun runs what follows its options, here and now.
SRUN = '#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n'
CURATION = '#!/bin/bash\nexec {python} -m curation.cli "$@"\n'


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, str]:
    """An environment in which `srun` and `curation` are there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("srun", SRUN), ("curation", CURATION.format(python=sys.executable))):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    root = str(LAUNCHERS.parent.parent)
    paths = {"PATH": os.pathsep.join([str(folder), os.environ["PATH"]]), "PYTHONPATH": root}
    return {**os.environ, **paths, "SLURM_CPUS_PER_TASK": "1", "WAIT_MINUTES": "5"}


def test_the_array_does_a_run_in_shares(programs: dict[str, str], tmp_path: Path) -> None:
    """Two tasks of an array that counts from 5; one is killed and started again, as Slurm does when it requeues."""
    from curation.demo.build_warc import build_crawl
    from curation.recipe import load_recipe, with_settings
    from curation.runners.choose import executor_maker
    from curation.runners.drive import run_pipeline

    (tmp_path / "crawl").mkdir()
    build_crawl(tmp_path / "crawl")

    def task(number: int) -> subprocess.Popen:
        words = ["demo", "--input", str(tmp_path / "crawl"), "--out", str(tmp_path / "out"), "--set", "warc.shard_mb=0.05"]
        array = {"SLURM_ARRAY_TASK_ID": str(number), "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_COUNT": "2"}
        with (tmp_path / f"task-{number}.log").open("a") as log:
            script = str(LAUNCHERS / "slurm_slices.sbatch")
            return subprocess.Popen(["bash", script, *words], env={**programs, **array}, stdout=log, stderr=log)

    first = task(5)
    commits = tmp_path / "out/work/commits"
    while not (commits.exists() and any(commits.iterdir())):
        assert first.poll() is None, (tmp_path / "task-5.log").read_text()
    first.kill()
    first.wait()
    tasks = {number: task(number) for number in (5, 6)}
    for number, process in tasks.items():
        assert process.wait(300) == 0, (tmp_path / f"task-{number}.log").read_text()
    recipe = with_settings(load_recipe("demo"), ["warc.shard_mb=0.05"])
    run_pipeline(recipe, [str(tmp_path / "crawl")], str(tmp_path / "whole"), executor_maker("local", workers=1))
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")
    assert "kept" in (tmp_path / "task-5.log").read_text()
