"""Keys of ``relationship(info=…)`` on the relationships of compiled relations."""

from __future__ import annotations

from ..definitions.computation import INFO_KEY

#: name of the relation
RELATION_KEY = f"{INFO_KEY}.relation"
#: name of the filtered relation whose members it reads
FILTERED_KEY = f"{INFO_KEY}.filtered"
#: of a relationship to links: ``"source"`` or ``"target"``, the end at which the record is
NEAR_KEY = f"{INFO_KEY}.near"
