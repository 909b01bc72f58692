"""Given ids and the ids of a sequence, side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from sqlalchemy import MetaData
from sqlalchemy.orm import Session, class_mapper

from interaqt_sa.schema.compile_schema import compile_schema
from interaqt_sa.storage.sequence_sync import move_sequence_past
from tests.schema.shop import Team
from tests.support.engines import EngineFactory


@pytest.mark.postgres
@pytest.mark.concurrency
def test_a_sequence_only_goes_forward(engine_for: EngineFactory) -> None:
    engine = engine_for("psycopg", pool_size=8)
    schema = compile_schema(MetaData(), entities=[Team])
    schema.metadata.create_all(engine)
    model = schema.mapped_class(Team)
    sequence = class_mapper(model).primary_key[0].default

    def work(seed: int) -> list[int]:
        random, fetched = Random(seed), list[int]()
        for step in range(40):
            with Session(engine) as session:
                move_sequence_past(session, class_mapper(model), step * 50 + random.randrange(100))
                fetched.append(session.scalar(sequence))
        return fetched

    with ThreadPoolExecutor(8) as pool:
        fetched = [number for numbers in pool.map(work, range(8)) for number in numbers]
    assert len(fetched) == len(set(fetched)) == 320


@pytest.mark.postgres
def test_a_new_sequence_leaves_out_nothing_needlessly(engine_for: EngineFactory) -> None:
    engine = engine_for("psycopg")
    schema = compile_schema(MetaData(schema="public"), entities=[Team])
    schema.metadata.create_all(engine)
    mapper = class_mapper(schema.mapped_class(Team))
    sequence = mapper.primary_key[0].default
    with Session(engine) as session:
        for given, following in ((0, 1), (1, 2), (2, 3), (9, 10), (200_000, 200_001), (5, 200_002)):
            move_sequence_past(session, mapper, given)
            assert session.scalar(sequence) == following
