"""Every way to write a computed column: mixins, dataclasses, imperative mapping, Core columns, other names."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, delete, insert, update
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    declared_attr,
    mapped_column,
    registry,
    relationship,
)

from interaqt_sa import Average, Computation, Count, Every, Summation, computed
from interaqt_sa.definitions.computation import computation_of
from tests.declarative.kept import Keep

# -- mixins -----------------------------------------------------------------------------------------------------------


class MixedBase(DeclarativeBase):
    pass


class HasNotes:
    """Gives a class notes, and columns that are computed from them."""

    id: Mapped[int] = mapped_column(primary_key=True)
    note_count: Mapped[int] = computed(Count("notes"))
    stars: Mapped[float] = mapped_column(Average("notes", "stars"))

    @declared_attr
    @classmethod
    def notes(cls) -> Mapped[list[Any]]:
        return relationship(f"{cls.__name__}Note")


class IsNote:
    id: Mapped[int] = mapped_column(primary_key=True)
    stars: Mapped[int]


class FilmNote(IsNote, MixedBase):
    __tablename__ = "film_note"

    film_id: Mapped[int] = mapped_column(ForeignKey("film.id"))


class SongNote(IsNote, MixedBase):
    __tablename__ = "song_note"

    song_id: Mapped[int] = mapped_column(ForeignKey("song.id"))


class Film(HasNotes, MixedBase):
    __tablename__ = "film"


class Song(HasNotes, MixedBase):
    __tablename__ = "song"

    seconds: Mapped[int] = mapped_column(default=0)


def test_mixins_give_every_class_columns_of_its_own(keep: Keep) -> None:
    kept = keep(MixedBase)
    with kept.begin() as session:
        session.add_all([Film(id=1, notes=[FilmNote(stars=4), FilmNote(stars=5)]), Song(id=1)])
    kept.run(insert(FilmNote), [{"film_id": 1, "stars": 0}])
    assert kept.stored(Film.id, Film.note_count, Film.stars) == [(1, 3, 3.0)]
    assert kept.stored(Song.id, Song.note_count, Song.stars) == [(1, 0, 0.0)]
    hidden = [c.name for c in Song.__table__.columns if c.name.startswith("_")]
    assert hidden == ["_stars__sum", "_stars__count"]


# -- dataclasses ------------------------------------------------------------------------------------------------------


class DataBase(MappedAsDataclass, DeclarativeBase):
    pass


class Team(DataBase):
    __tablename__ = "team"

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    size: Mapped[int] = mapped_column(Count("players"), init=False)
    points: Mapped[int] = computed(Summation("players", "points"), init=False, repr=False)
    name: Mapped[str]
    label: Mapped[str] = computed(lambda team: f"<{team.name}>", init=False)
    players: Mapped[list[Player]] = relationship(default_factory=list)


class Player(DataBase):
    __tablename__ = "player"

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    team_id: Mapped[int | None] = mapped_column(ForeignKey("team.id"), init=False)
    points: Mapped[int] = mapped_column(default=0)


def test_dataclasses(keep: Keep) -> None:
    kept = keep(DataBase)
    with kept.begin() as session:
        team = Team(name="reds", players=[Player(points=3), Player()])
        session.add_all([team, Team("blues")])
        session.flush()
        assert (team.size, team.points, team.label) == (2, 3, "<reds>")
        assert "size=2" in repr(team)
        assert "points=3, " not in repr(team).partition("players")[0]
        team.name = "greens"
        team.players.pop(0)
    assert kept.stored(Team.name, Team.size, Team.points, Team.label) == [
        ("blues", 0, 0, "<blues>"),
        ("greens", 1, 0, "<greens>"),
    ]


# -- imperative mapping, and columns of Core --------------------------------------------------------------------------


def test_imperative_mapping_of_core_tables(keep: Keep) -> None:
    mapping = registry()
    box = Table(
        "box",
        mapping.metadata,
        Column("box_id", Integer, primary_key=True),
        Column("items_in_box", Integer, Count("items"), nullable=False),
        Column("sum_of_weights", Integer, Summation("items", "weight"), key="weights", nullable=False),
        Column("light", Integer, key="light_items"),
    )
    item = Table(
        "item",
        mapping.metadata,
        Column("id", Integer, primary_key=True),
        Column("box", ForeignKey("box.box_id"), key="box_ref"),
        Column("w", Integer, nullable=False),
    )

    class Box:
        pass

    class Item:
        pass

    mapping.map_imperatively(
        Box,
        box,
        properties={"id": box.c.box_id, "total": box.c.weights, "items": relationship(Item, back_populates="box")},
    )
    mapping.map_imperatively(
        Item, item, properties={"weight": item.c.w, "box": relationship(Box, back_populates="items")}
    )
    kept = keep(mapping)
    with kept.begin() as session:
        first, second, some = Box(), Box(), Item()
        some.box, some.weight = first, 3  # type: ignore[attr-defined]
        session.add_all([first, second, some])
        session.flush()
        assert (first.items_in_box, first.total) == (1, 3)  # type: ignore[attr-defined]
    kept.run(insert(Item), [{"box_ref": 2, "weight": 8}, {"box_ref": 2, "weight": 9}])
    kept.run(insert(item), [{"box_ref": 1, "w": 1}])
    kept.run(update(Item).where(item.c.w == 9).values(weight=10))
    assert kept.stored(box.c.box_id, box.c.items_in_box, box.c.weights) == [(1, 2, 4), (2, 2, 18)]
    kept.run(delete(item).where(item.c.box_ref == 2))
    assert kept.stored(box.c.box_id, box.c.items_in_box, box.c.weights) == [(1, 2, 4), (2, 0, 0)]


def test_a_computation_in_a_core_column_is_found_again() -> None:
    declared = Count("items")
    column = Column("n", Integer, declared)
    Table("t", MetaData(), column)
    assert computation_of(column) is declared
    assert computation_of(Column("plain", Integer)) is None
    assert isinstance(declared, Computation)


# -- names and versions -----------------------------------------------------------------------------------------------


class NamedBase(DeclarativeBase):
    pass


class Folder(NamedBase):
    """All its attributes differ from its columns, and it counts its versions."""

    __tablename__ = "folder"

    key: Mapped[int] = mapped_column("id", primary_key=True)
    title: Mapped[str] = mapped_column("name", String(30))
    version: Mapped[int] = mapped_column("ver")
    files: Mapped[list[File]] = relationship(back_populates="folder")
    file_count: Mapped[int] = computed(Count("files"), name="n_files")
    size: Mapped[float] = computed(Summation("files", "size"), name="total_bytes")
    all_small: Mapped[bool] = computed(Every("files", lambda f: f.size < 10, attribute_query=["size"]), name="small")
    caption: Mapped[str] = computed(lambda folder: f"{folder.title}: {folder.key}", name="cap")

    __mapper_args__ = {"version_id_col": version}


class File(NamedBase):
    __tablename__ = "file"

    key: Mapped[int] = mapped_column("id", primary_key=True)
    folder_key: Mapped[int] = mapped_column("folder", ForeignKey("folder.id"))
    size: Mapped[float] = mapped_column("bytes")
    folder: Mapped[Folder] = relationship(back_populates="files")


def test_attributes_named_unlike_their_columns(keep: Keep) -> None:
    kept = keep(NamedBase)
    columns = Folder.key, Folder.file_count, Folder.size, Folder.all_small, Folder.caption
    with kept.begin() as session:
        folder = Folder(title="a", files=[File(size=1.5), File(size=20)])
        session.add_all([folder, Folder(title="b")])
        session.flush()
        assert (folder.file_count, folder.size, folder.all_small, folder.caption) == (2, 21.5, False, "a: 1")
    assert kept.stored(*columns) == [(1, 2, 21.5, False, "a: 1"), (2, 0, 0.0, True, "b: 2")]
    with kept.begin() as session:
        session.get_one(File, 2).folder_key = 2
        session.get_one(Folder, 1).title = "c"
    kept.run(insert(File), [{"folder_key": 1, "size": 2}])
    kept.run(update(File).where(File.size == 20).values(size=File.size / 4))
    assert kept.stored(*columns) == [(1, 2, 3.5, True, "c: 1"), (2, 1, 5.0, True, "b: 2")]
    kept.run(delete(File).where(File.folder_key == 1))
    assert kept.stored(*columns) == [(1, 0, 0.0, True, "c: 1"), (2, 1, 5.0, True, "b: 2")]


def test_computed_values_do_not_count_as_versions_of_their_row(keep: Keep) -> None:
    kept = keep(NamedBase, expire_on_commit=False)
    with kept.begin() as session:
        folder = Folder(title="a")
        session.add(folder)
    kept.run(insert(File), [{"folder_key": 1, "size": 1}])
    with kept.begin() as session:
        session.add(folder)
        folder.title = "b"  # what was computed meanwhile has not made it stale
    assert kept.stored(Folder.title, Folder.version, Folder.file_count) == [("b", 2, 1)]
