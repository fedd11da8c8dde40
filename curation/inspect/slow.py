"""The units of a folder's newest run that took longest, from its log."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from curation.errors import StorageError, explain_mismatch
from curation.run_log import FOLDER, LogReader
from curation.storage import Folder
from curation.unit_times import UnitTimes


def slow(out: str, options: Mapping[str, object] | None = None) -> str:
    """Wave by wave the median, the 95th percentile and the slowest units of the newest run that ran any: of all its drivers,
    the attempts before an interrupt and after it. StorageError when no log tells of one."""
    folder = Folder(out, dict(options or {}))
    run_of: dict[str, str] = {}
    times: dict[str, UnitTimes] = {}
    newest: tuple[str, str] | None = None
    for driver, event in LogReader(folder).new():
        if event["event"] == "run_started":
            run_of[driver] = event["run"]
        elif event["event"] == "unit_done" and driver in run_of:
            run = run_of[driver]
            ended = datetime.fromisoformat(event["time"]).timestamp()
            times.setdefault(run, UnitTimes()).add(event["title"], event, ended)
            newest = max(newest or ("", ""), (event["time"], run))
    if newest is None:
        raise StorageError(
            explain_mismatch(
                "no unit has run here",
                wanted=f"events of units in {folder.url}/{FOLDER}/",
                found="none",
                hint="give the --out folder of a run; the logs of one that was copied may have stayed behind",
            )
        )
    return times[newest[1]].report()
