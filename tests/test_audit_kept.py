"""What an audit keeps: a killed one goes on, added files cost their own pairs, and the findings are the same always."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fracturelib.audit import Audit, audit, copies, neighbours, reading
from fracturelib.audit.candidates import Signatures, nearest_groups
from fracturelib.audit.neighbours import Neighbours
from fracturelib.audit.pictures import Form
from fracturelib.audit.registration import Evidence
from fracturelib.audit.result import FINDINGS, PICTURES
from fracturelib.audit.verdicts import Verdicts
from fracturelib.catalog import survey
from fracturelib.errors import DataWarning
from fracturelib.runtime import pool
from fracturelib.simulation import simulate

FILES, ADDED = 24, 6


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Four radiographs, six rotated files each, spread over the splits."""
    root = tmp_path_factory.mktemp("leaky") / "set"
    simulate(root, counts=FILES, leaky=True, seed=3, progress=False, workers=1, image_side=192)
    return survey(root)


@pytest.fixture(scope="module")
def whole(table: pd.DataFrame) -> Audit:
    """The audit that keeps nothing."""
    return audit(table, names=False, progress=False)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Counts the files that are read for pictures, and the pairs that are compared."""
    done = {"files": 0, "pairs": 0}
    for module, name, kind in ((reading, "read_one", "files"), (copies, "compare", "pairs")):
        before = getattr(module, name)

        def counted(*arguments, _before=before, _kind=kind, **named):
            done[_kind] += 1
            return _before(*arguments, **named)

        monkeypatch.setattr(module, name, counted)
    return done


def part_of(table: pd.DataFrame, rows: slice) -> pd.DataFrame:
    part = table.iloc[rows].reset_index(drop=True)
    part.attrs = table.attrs
    return part


def assert_same(one: Audit, other: Audit) -> None:
    for name, content in one.tables().items():
        pd.testing.assert_frame_equal(content, other.tables()[name], check_dtype=False, obj=name)


@pytest.mark.slow
def test_what_is_kept_changes_nothing_and_is_not_done_again(table, whole, work, tmp_path):
    assert_same(audit(table, names=False, memory=tmp_path, progress=False), whole)
    first = dict(work)
    assert first["files"] == FILES and first["pairs"] > 0
    (tmp_path / FINDINGS).unlink()
    assert_same(audit(table, names=False, memory=tmp_path, progress=False), whole)
    assert work == first


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["files", "pairs"])
def test_an_audit_that_was_killed_goes_on(kind, table, whole, work, tmp_path, monkeypatch):
    monkeypatch.setattr(copies, "BATCH", 16)
    monkeypatch.setattr(reading, "TOGETHER", 1)
    monkeypatch.setattr(pool, "available_cores", lambda: 1)  # so that little is under way
    audit(table, names=False, memory=tmp_path / "whole", progress=False)
    needed, goal = work[kind], work[kind] + work[kind] // 2
    module, name = (reading, "read_one") if kind == "files" else (copies, "compare")
    alive = getattr(module, name)

    def killed(*arguments, **named):
        if work[kind] >= goal:
            raise KeyboardInterrupt
        return alive(*arguments, **named)

    with monkeypatch.context() as here:
        here.setattr(module, name, killed)
        with pytest.raises(KeyboardInterrupt):
            audit(table, names=False, memory=tmp_path / "cut", progress=False)
    before = work[kind]
    resumed = audit(table, names=False, memory=tmp_path / "cut", progress=False)
    assert work[kind] - before < needed
    assert_same(resumed, audit(table, names=False, memory=tmp_path / "whole", progress=False))
    assert resumed.n_sources == whole.n_sources


@pytest.mark.slow
def test_a_record_that_a_kill_cut_short_is_made_again(table, whole, work, tmp_path):
    audit(table, names=False, memory=tmp_path, progress=False)
    (tmp_path / FINDINGS).unlink()
    for file in (tmp_path / PICTURES).glob("*.bin"):
        file.write_bytes(file.read_bytes()[:-30])
    before = dict(work)
    assert_same(audit(table, names=False, memory=tmp_path, progress=False), whole)
    assert {kind: work[kind] - before[kind] for kind in work} == {"files": 1, "pairs": 1}


@pytest.mark.slow
def test_a_damaged_record_is_said_and_all_is_read_again(table, whole, tmp_path):
    audit(table, names=False, memory=tmp_path, progress=False)
    (tmp_path / FINDINGS).unlink()
    file = tmp_path / PICTURES / "pictures.bin"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    content[5000] ^= 0xFF
    file.write_bytes(content)
    (tmp_path / PICTURES / "pairs.bin").unlink()
    with pytest.warns(DataWarning, match="damaged"):
        again = audit(table, names=False, memory=tmp_path, progress=False)
    assert_same(again, whole)


@pytest.mark.slow
@pytest.mark.parametrize("exact", [True, False])
def test_added_files_cost_their_own_pairs(exact, table, work, tmp_path, monkeypatch):
    if not exact:
        pytest.importorskip("faiss")
        monkeypatch.setattr(neighbours, "EXACT", 10)
        monkeypatch.setattr(neighbours, "AFFORDED", 0)
    whole = audit(table, names=False, memory=tmp_path / "whole", progress=False)
    needed = dict(work)
    audit(part_of(table, slice(0, FILES - ADDED)), names=False, memory=tmp_path / "grown", progress=False)
    before = dict(work)
    grown = audit(table, names=False, memory=tmp_path / "grown", progress=False)
    assert work["files"] - before["files"] == ADDED
    assert work["pairs"] - before["pairs"] < needed["pairs"]
    if exact:
        assert_same(grown, whole)
    assert grown.table["source_id"].tolist() == whole.table["source_id"].tolist()
    fewer = part_of(table, slice(ADDED, FILES))  # files that are gone are no trouble
    left = audit(fewer, names=False, memory=tmp_path / "grown", progress=False)
    assert left.n_sources == audit(fewer, names=False, progress=False).n_sources


@pytest.mark.slow
def test_processes_find_what_threads_find(table, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "PROCESSES_FROM", 1)
    assert_same(audit(table, names=False, memory=tmp_path, progress=False), whole)


@pytest.mark.slow
def test_an_index_groups_as_exact_search_does(table, whole, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr(neighbours, "EXACT", 10)
    monkeypatch.setattr(neighbours, "AFFORDED", 0)
    assert audit(table, names=False, progress=False).table["source_id"].tolist() == whole.table["source_id"].tolist()


def unit_vectors(draw: np.random.Generator, *shape: int) -> np.ndarray:
    """Random ones, float32."""
    vectors = draw.normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def in_forms(vectors: np.ndarray) -> dict[Form, np.ndarray]:
    """One part of (3, n, d) for each form."""
    return dict(zip(Form, vectors, strict=True))


def test_lists_that_grow_are_those_of_a_whole_search(tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    vectors = unit_vectors(draw, 3, 300, 16)
    keys = [number.to_bytes(16, "big") for number in range(300)]
    monkeypatch.setattr(neighbours, "EXACT", 10**6)
    whole = Neighbours(tmp_path, 0).find(Signatures(in_forms(vectors), "words"), keys, progress=False)
    monkeypatch.setattr(neighbours, "EXACT", 10)
    # some that will be gone, in another order, then all
    order = draw.permutation(280)
    old = Signatures(in_forms(vectors[:, order]), "words")
    Neighbours(tmp_path, 1).find(old, [keys[row] for row in order], progress=False)
    for start in (0, 40):
        kept = slice(start, None)
        left = Signatures(in_forms(vectors[:, kept]), "words")
        grown = Neighbours(tmp_path, 1).find(left, keys[kept], progress=False)
        fresh = whole if start == 0 else Neighbours(tmp_path, 2).find(left, keys[kept], progress=False)
        np.testing.assert_array_equal(grown.rows, fresh.rows)
        np.testing.assert_allclose(grown.distances, fresh.distances, atol=1e-5)


def test_lists_of_other_forms_are_searched_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(neighbours, "EXACT", 10)
    forms = in_forms(unit_vectors(np.random.default_rng(2), 3, 40, 16))
    keys = [number.to_bytes(16, "big") for number in range(40)]
    plain = Signatures({Form.AS_IT_IS: forms[Form.AS_IT_IS]}, "words")
    Neighbours(tmp_path, 1).find(Signatures(forms, "words"), keys, progress=False)
    again = Neighbours(tmp_path, 1).find(plain, keys, progress=False)
    np.testing.assert_array_equal(again.rows, Neighbours(tmp_path, 2).find(plain, keys, progress=False).rows)


def test_groups_are_compared_by_their_most_similar_members(tmp_path):
    draw = np.random.default_rng(1)
    vectors, numbers = unit_vectors(draw, 3, 60, 16), np.concatenate([np.arange(30), draw.integers(30, size=30)])
    keys, kept = [number.to_bytes(16, "big") for number in range(60)], Neighbours(tmp_path, 1)
    pairs = nearest_groups(Signatures(in_forms(vectors)), numbers, keys, kept, progress=False)
    plain, groups = vectors[0], [np.flatnonzero(numbers == number) for number in range(30)]
    means = np.stack([plain[group].sum(axis=0) for group in groups])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    nearest = np.argsort(-means @ means.T, axis=1)[:, : neighbours.NEIGHBOURS[Form.AS_IT_IS] + 1]
    asked = {tuple(sorted((one, other))) for one, near in enumerate(nearest.tolist()) for other in near if other != one}
    expected = set()
    for one, other in asked:
        similar = plain[groups[one]] @ plain[groups[other]].T
        if similar.size > 1:  # two single pictures were compared before
            a, b = np.unravel_index(similar.argmax(), similar.shape)
            expected.add((int(groups[one][a]), int(groups[other][b])))
    assert {(a, b) for a, b, _ in pairs[:]} == expected and len(pairs) == len(expected)
    assert {form for *_, form in pairs[:]} == {Form.AS_IT_IS}


def test_verdicts_are_kept_exactly_and_only_under_the_same_thresholds(tmp_path, monkeypatch):
    evidence = Evidence(0.1 + 0.2, 0.75, 12, -3.25, 1.5, mirrored=True, inverted=False)
    first = Verdicts(tmp_path)
    one, other = (first.key(b"a", b"b", form) for form in (Form.MIRRORED, Form.INVERTED))
    first.add([one, other], [evidence, None])
    again = Verdicts(tmp_path)
    assert again[one] == evidence and again[other] is None
    assert first.key(b"a", b"c", Form.MIRRORED) not in again
    monkeypatch.setattr("fracturelib.audit.registration.SAME", 0.5)
    assert Verdicts(tmp_path).key(b"a", b"b", Form.MIRRORED) not in again


def test_a_shelf_lets_go_of_files_that_are_gone(tmp_path):
    from fracturelib.audit.pictures import describe_picture
    from fracturelib.audit.reading import Read, appearance_names
    from fracturelib.audit.shelf import Shelf, picture_at

    looks, keys = dict.fromkeys(appearance_names(), 0.5), [bytes([number]) * 16 for number in range(8)]
    pictures = [describe_picture(np.random.default_rng(n).integers(0, 255, (60, 80), np.uint8)) for n in range(8)]
    shelf = Shelf(tmp_path)
    for number, (key, picture) in enumerate(zip(keys, pictures, strict=True)):
        shelf.add(key, Read(picture, pictures[0] if number % 2 else None, looks, f"{number:064x}"))
    size = shelf.file.stat().st_size
    shelf.tidy(keys[:3])
    assert size == shelf.file.stat().st_size  # most are in use, or nearly
    shelf.tidy(keys[1:3])
    assert shelf.file.stat().st_size < size / 3
    found = Shelf(tmp_path).pictures(Shelf(tmp_path).rows(keys[1:3]))
    assert found.owners.tolist() == [0, 1, 0]
    with found.shelf.open("rb") as file:
        for place, expected in zip(found.places, (pictures[1], pictures[2], pictures[0]), strict=True):
            for name, value in vars(expected).items():
                np.testing.assert_array_equal(getattr(picture_at(file, place), name), value)
