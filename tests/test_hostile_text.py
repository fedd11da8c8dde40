"""No text makes a stage slow: one character 200,000 times over, of every class, and a long line.

The bound is coarse on purpose (a quadratic stage takes minutes or hours for these); figures are in
benchmarks/hostile_text.md.
"""

from __future__ import annotations

import time

import pytest
from dedup_steps import answer
from hostile_stages import CLASSES, frame_for, global_text_stages, text_stages

STAGES = dict(text_stages())
GLOBAL_STAGES = dict(global_text_stages())
SIZE = 200_000


def test_every_text_stage_is_held_to_its_bound() -> None:
    assert len(STAGES) >= 17 and len(GLOBAL_STAGES) >= 4


@pytest.mark.parametrize("name", GLOBAL_STAGES)
def test_no_character_makes_a_global_stage_slow(name: str) -> None:
    stage = GLOBAL_STAGES[name]
    for label, unit in CLASSES.items():
        rows = frame_for(stage, unit * (SIZE // len(unit)), copies=2)
        started = time.process_time()
        found = answer(stage, [rows])
        assert time.process_time() - started < 20, f"{name}: {label}"
        assert found["doc"].to_list() == [0, 1]


@pytest.mark.parametrize("name", STAGES)
def test_no_character_makes_a_stage_slow(name: str) -> None:
    stage = STAGES[name]
    apply = stage.bind({})
    for label, unit in CLASSES.items():
        text = unit * (SIZE // len(unit))
        started = time.process_time()
        answer = apply(frame_for(stage, text))
        assert time.process_time() - started < 20, f"{name}: {label}"
        assert len(answer) == 1
