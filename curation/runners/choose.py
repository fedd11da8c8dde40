"""The runner of a name. Ray is imported only when it is asked for."""

from __future__ import annotations

from curation.errors import CurationError, explain_mismatch
from curation.runners.local import LocalExecutor
from curation.runners.waves import MakeExecutor


def executor_maker(runner: str = "local", workers: int | None = None, address: str | None = None) -> MakeExecutor:
    """What makes an executor for a run. Raises CurationError for an unknown name, and where the extra is missing."""
    if runner == "local":
        if address:
            raise CurationError("--address belongs to --runner ray")
        return lambda pipeline, folder, options: LocalExecutor(pipeline, folder, options, workers=workers)
    if runner != "ray":
        raise CurationError(explain_mismatch("--runner", wanted="local or ray", found=runner))
    try:
        from curation.runners.ray import RayExecutor
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise CurationError(
            explain_mismatch(
                "--runner ray needs Ray", wanted="the extra `ray`", found="not installed", hint="pip install 'curation[ray]'"
            )
        ) from error
    return lambda pipeline, folder, options: RayExecutor(pipeline, folder, options, address=address, workers=workers)
