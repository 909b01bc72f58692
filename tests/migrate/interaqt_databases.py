"""Databases as versions of interaqt left them: what 1.0.0 writes was seen, the others are told by the specification.

A table is called after its record and has `_rowId`; a column by three letters of the record, three of the attribute,
and a number that counts through all tables. Nothing is a key, unique or NOT NULL.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import MetaData

import interaqt_sa as iq

VERSIONS = ("1.0", "1.1.3", "1.3.0")

_TABLES = """\
CREATE TABLE "User" ("_rowId" {pk}, "use_nam_1" TEXT, "use_age_2" INT, "use_tic_3" INT, "use_id_4" INT,
    "use_pro_18" INT, "use_pro_22" INT);
CREATE TABLE "Ticket" ("_rowId" {pk}, "tic_tit_5" TEXT, "tic_ope_6" {boolean}, "tic_tag_7" JSON, "tic_ope_8"
    {time}, "tic_id_9" INT, "use_tic_14" INT, "tic_own_19" INT);
CREATE TABLE "Label" ("_rowId" {pk}, "lab_wor_10" TEXT, "lab_id_11" INT);
CREATE TABLE "Profile" ("_rowId" {pk}, "pro_mot_12" TEXT, "pro_id_13" INT);
CREATE TABLE "Ticket_labels_tickets_Label" ("_rowId" {pk}, "tic_lab_15" TEXT, "tic_lab_16" INT, "tic_lab_20"
    INT, "tic_lab_21" INT)
"""
_ROWS = """\
INSERT INTO "User" (use_nam_1, use_age_2, use_tic_3, use_id_4, use_pro_18, use_pro_22) VALUES ('ann', 31, 2, 1,
    1, 7), ('bob', NULL, 0, 5, NULL, NULL);
INSERT INTO "Ticket" (tic_tit_5, tic_ope_6, tic_tag_7, tic_ope_8, tic_id_9, use_tic_14, tic_own_19) VALUES
    ('leak', {true}, '["roof", "x"]', {then}, 2, 1, 1), ('noise', {false}, NULL, NULL, 3, 2, 1), ('nobody''s',
    {true}, '[]', NULL, 4, NULL, NULL);
INSERT INTO "Label" (lab_wor_10, lab_id_11) VALUES ('red', 1);
INSERT INTO "Profile" (pro_mot_12, pro_id_13) VALUES ('onward', 7);
INSERT INTO "Ticket_labels_tickets_Label" (tic_lab_15, tic_lab_16, tic_lab_20, tic_lab_21) VALUES ('2020', 1, 2, 1)
"""
_COUNTERS = """\
CREATE TABLE "_IDS_" (last INTEGER, name TEXT);
INSERT INTO "_IDS_" VALUES (5, 'User'), (40, 'Ticket'), (1, 'Label'), (7, 'Profile'), (1,
    'Ticket_labels_tickets_Label'), (2, 'User_tickets_owner_Ticket')
"""
# the numbers that 1.1.3 gives its columns depend on what else is declared
_RENUMBERED = {"use_nam_1": "use_nam_101", "use_id_4": "use_id_104", "tic_own_19": "tic_own_9"}
_SEQUENCES = (
    ("User", "use_id_4", 5),
    ("Ticket", "tic_id_9", 40),
    ("Label", "lab_id_11", 1),
    ("Profile", "pro_id_13", 7),
    ("Ticket_labels_tickets_Label", "tic_lab_16", 1),
)
_SYSTEM = (
    'CREATE TABLE "_System_" ("_rowId" {pk}, "_sys_con_1" TEXT)',
    'CREATE TABLE "_Dictionary_" ("_rowId" {pk}, "_dic_key_1" TEXT)',
)
_STATE = 'CREATE TABLE "_ComputationState_" (key TEXT PRIMARY KEY, "numberValue" NUMERIC)'


def statements(version: str, *, postgresql: bool) -> list[str]:
    """Return SQL that makes the database."""
    words = (
        {"pk": "INT GENERATED ALWAYS AS IDENTITY", "boolean": "BOOLEAN", "time": "TIMESTAMP", "true": "true"}
        | {"false": "false", "then": "'2020-02-03 04:05:06'"}
        if postgresql
        else {"pk": "INTEGER PRIMARY KEY", "boolean": "INT(2)", "time": "INT", "true": "1", "false": "0"}
        | {"then": "1580702706000"}
    )
    made = [statement.format(**words) for statement in (*_each(_TABLES), *_SYSTEM, *_each(_ROWS))]
    if version == "1.1.3":
        for old, new in _RENUMBERED.items():
            made = [statement.replace(old, new) for statement in made]
    if version == "1.3.0":
        made.append(_STATE)
    if version != "1.3.0" or not postgresql:
        return [*made, *_each(_COUNTERS)]
    # it has taken the counters over, and they were dropped
    for table, _, last in _SEQUENCES:
        name = f"seq_0123456789ab_{table}"[:63]
        made += [f'CREATE SEQUENCE "{name}"', f"SELECT setval('\"{name}\"', {last})"]
    return made


def _each(script: str) -> list[str]:
    return script.split(";\n")


def declared() -> Any:
    """Return the same records as definitions of today."""
    user = iq.Entity(
        "User",
        [
            iq.Property("name", str),
            iq.Property("age", "number"),
            iq.Property("ticketCount", int, computation=iq.Count("tickets")),
        ],
    )
    ticket = iq.Entity(
        "Ticket",
        [
            iq.Property("title", str),
            iq.Property("open", bool),
            iq.Property("tags", str, collection=True),
            iq.Property("opened", "timestamp"),
        ],
    )
    label = iq.Entity("Label", [iq.Property("word", str)])
    profile = iq.Entity("Profile", [iq.Property("motto", str)])
    relations = [
        iq.Relation(source=user, source_property="tickets", target=ticket, target_property="owner", type="1:n"),
        iq.Relation(
            source=ticket,
            source_property="labels",
            target=label,
            target_property="tickets",
            type="n:n",
            properties=[iq.Property("since", str)],
        ),
        iq.Relation(source=user, source_property="profile", target=profile, target_property="user", type="1:1"),
    ]
    return iq.compile_schema(MetaData(), entities=[user, ticket, label, profile], relations=relations)
