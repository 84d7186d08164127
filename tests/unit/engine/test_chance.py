from __future__ import annotations

from random import Random

from controller.engine.chance import Chance


def test_what_one_source_draws_shifts_nothing_for_another() -> None:
    alone = Chance(Random(1)).source("east").random()
    chance = Chance(Random(1))
    west = chance.source("west")
    for _ in range(10):
        west.random()
    assert alone == chance.source("east").random()


def test_sources_differ_by_name_and_by_seed() -> None:
    first, second = Chance(Random(1)), Chance(Random(2))
    draws = {first.source("a").random(), first.source("b").random(), second.source("a").random()}
    assert len(draws) == 3
