"""Stops a run in which one reason takes more than its share: a broken stage must not look like bad data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from curation.errors import RunStopped, explain_mismatch
from curation.pipeline import Pipeline


class Shares:
    """Watches how large a share of a stage's documents each reason takes, as records come in."""

    def __init__(self, pipeline: Pipeline, least: int = 100) -> None:
        self._allowed = {s.label: {"stage_error": 0.05, **s.stop_shares} for s in pipeline.everything()}
        self._least = least
        self._seen: Counter[str] = Counter()
        self._fell: Counter[tuple[str, str]] = Counter()

    def add(self, record: Mapping) -> None:
        """Count a record. Raises RunStopped when a reason has taken more than its share, after `least` documents."""
        for count in record.get("counts", ()):
            label = count["label"]
            self._seen[label] += count["rows_in"]
            for reason, (documents, _) in count["reasons"].items():
                self._fell[label, reason] += documents
            for reason, share in self._allowed[label].items():
                total, lost = self._seen[label], self._fell[label, reason]
                if total >= self._least and lost > share * total:
                    raise RunStopped(
                        explain_mismatch(
                            f"stage {label!r} dropped too many documents for {reason!r}: a broken stage must not look like "
                            "bad data",
                            wanted=f"at most {share:.1%} of the documents it saw",
                            found=f"{lost} of {total} ({lost / total:.1%})",
                            hint="look at drop_detail of the dropped documents, mend the stage, run again",
                        )
                    )
