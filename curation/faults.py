"""Named points at which a test may end the process, to prove that a resume needs nothing but committed files.

Set `CURATION_FAULT=<point>:<n>` and the process that passes `<point>` for the n-th time kills itself with SIGKILL;
add `:worker` or `:driver` to restrict it to one kind of process. Without the variable a point costs one comparison.
"""

from __future__ import annotations

import multiprocessing
import os
import signal

POINTS = (
    "part-open",  # the data file of a unit has been created, nothing is in it
    "part-written",  # the data file is whole, no commit record points to it
    "record-written",  # the commit record lies under its temporary name
    "record-committed",  # the commit record has its name, the driver does not know yet
    "publish-shard",  # one shard has been moved to its place
    "publish-manifest",  # shards are in place, the manifest is new, census and recipe are not
)

_wanted = os.environ.get("CURATION_FAULT", "")
_passed = 0


def point(name: str) -> None:
    """Pass the point `name`; see the module docstring."""
    if not _wanted:
        return
    global _passed
    wanted_name, _, rest = _wanted.partition(":")
    count, _, kind = rest.partition(":")
    in_worker = multiprocessing.parent_process() is not None
    if wanted_name != name or (kind == "worker" and not in_worker) or (kind == "driver" and in_worker):
        return
    _passed += 1
    if _passed == int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
