"""A reader study: balanced cases, answers step by step, scores with intervals, files that hold numbers only."""

from __future__ import annotations

import json
import os
from datetime import date, datetime

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from fracturelib.config import CLASS_NAMES
from fracturelib.course.figures.reading import readers_against_model
from fracturelib.course.reader_study import (
    Reading,
    call_scores,
    choose_cases,
    class_scores,
    class_table,
    cohens_kappa,
    disagreements,
    first_readings,
    pool_readings,
    save_reading,
    simulated_reader,
    told_counts,
    with_model,
)
from fracturelib.course.reader_study.results import class_or_made_up
from fracturelib.course.reader_study.scoring import ratings
from fracturelib.errors import DataWarning, EvaluationError


def a_table(count: int = 120) -> pd.DataFrame:
    """Two views of each patient, one in three fractured, of three regions; later fractures are the plainer."""
    rows = np.arange(count)
    label = (rows // 2 % 3 == 0).astype(int)
    return pd.DataFrame(
        {
            "path": [f"test/{CLASS_NAMES[label[row]]}/Doe_John_{row:04d}.png" for row in rows],
            "label": label,
            "source_id": [f"s{row}" for row in rows],
            "patient_id": [f"p{row // 2}" for row in rows],
            "region": np.array(["hand", "leg", "hip"])[rows // 6 % 3],
            "conspicuity": np.where(label == 1, 1.0 + rows, np.nan),
            "sha256": [f"{row:064x}"[::-1] for row in rows],
        }
    )


# --- which cases ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.integers(2, 24), st.integers(0, 1000))
def test_half_of_the_cases_are_fractured_and_no_patient_comes_twice(count, seed):
    cases = choose_cases(a_table(), count=count, seed=seed)
    assert len(cases) == count and abs(2 * cases["label"].sum() - count) <= 1
    assert not cases["patient_id"].duplicated().any()
    assert cases.equals(choose_cases(a_table(), count=count, seed=seed)), "the same seed, the same cases"


def test_cases_are_spread_over_regions_and_over_easy_and_hard_fractures():
    cases = choose_cases(a_table(), count=18)
    for label in (0, 1):
        assert cases.loc[cases["label"] == label, "region"].value_counts().tolist() == [3, 3, 3]
    levels = np.ceil(3 * a_table()["conspicuity"].rank(pct=True))[cases["sha256"].map(lambda key: int(key[::-1], 16))]
    assert set(levels.dropna()) == {1, 2, 3}


def test_a_plain_folder_needs_no_more_than_labels_and_sources():
    table = a_table()[["path", "label", "source_id"]]
    table.attrs["root"] = "somewhere"
    cases = choose_cases(table)
    assert len(cases) == 20 and cases["label"].sum() == 10 and cases.attrs["root"] == "somewhere"


def test_copies_of_one_radiograph_are_one_case_and_a_small_set_gives_fewer():
    table = a_table(12)[["path", "label", "source_id"]]
    copied = pd.concat([table] * 5, ignore_index=True)
    cases = choose_cases(copied)
    assert not cases["source_id"].duplicated().any() and cases["label"].value_counts().to_dict() == {0: 8, 1: 4}


def test_one_class_alone_is_refused():
    with pytest.raises(EvaluationError, match="both classes"):
        choose_cases(a_table().query("label == 1"))


# --- step by step ---------------------------------------------------------------------------------------------------


def test_a_case_ends_with_how_sure_and_can_be_taken_back():
    now = iter(range(0, 1000, 5))
    reading = Reading(choose_cases(a_table(), count=3), clock=lambda: next(now))
    assert not reading.rate(2), "there is no call yet"
    reading.call(1)
    reading.call(0)  # a change of mind
    assert reading.rate(3) and reading.position == 1 and reading.called is None
    assert not reading.rate(4) and not reading.rate(0)
    reading.call(1)
    assert reading.rate(1)
    assert reading.answers()[["called", "sure", "seconds"]].to_numpy().tolist() == [[0, 3, 5], [1, 1, 5]]
    reading.back()
    assert reading.position == 1 and reading.answers()["called"].tolist() == [0]
    for _ in range(3):
        reading.back()
    assert reading.position == 0 and reading.answers().empty


@pytest.mark.slow
@given(st.lists(st.sampled_from(["f", "n", 1, 2, 3, "b"]), max_size=60))
def test_any_order_of_keys_leaves_a_usable_reading(keys):
    reading = Reading(CASES)
    for key in keys:
        if key == "b":
            reading.back()
        elif key in ("f", "n"):
            reading.call(int(key == "f"))
        else:
            reading.rate(key)
    answers = reading.answers()
    assert len(answers) == reading.position <= len(CASES)
    assert answers["path"].tolist() == CASES["path"].tolist()[: reading.position]
    assert answers["called"].isin([0, 1]).all() and answers["sure"].isin([1, 2, 3]).all()


# --- what it is worth -----------------------------------------------------------------------------------------------

CASES = choose_cases(a_table(), count=20)
ANSWERS = simulated_reader(CASES, seed=1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40))
def test_kappa_is_that_of_scikit_learn(pairs):
    first, second = np.array(pairs, dtype=int).T
    found = cohens_kappa(first, second)
    if len({*first, *second}) == 1:
        assert np.isnan(found["kappa"]), "chance alone would agree fully, too"
    else:
        assert found["kappa"] == pytest.approx(cohen_kappa_score(first, second))
    assert found["agreement"] == pytest.approx((first == second).mean())


def test_kappa_of_cohens_definition_and_its_interval():
    # 20 both fractured, 15 neither, 5 and 10 not alike: agreement 0.70, by chance 0.50 (a textbook example).
    first = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])
    second = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    found = cohens_kappa(first, second)
    assert (found["agreement"], found["expected"], found["kappa"]) == pytest.approx((0.70, 0.50, 0.40))
    error = np.sqrt(0.7 * 0.3 / (50 * 0.5**2))  # Cohen's own large-sample standard error
    assert found["low"] == pytest.approx(0.4 - 1.96 * error, abs=0.05)
    assert found["high"] == pytest.approx(0.4 + 1.96 * error, abs=0.05)
    assert np.isnan(cohens_kappa([0, 1, 1], [0, 1, 0])["low"]), "three cases have no interval"
    with pytest.raises(EvaluationError, match="two calls"):
        cohens_kappa([0, 1], [0])


def test_scores_of_a_reader_who_misses_two_of_ten_and_alarms_once():
    labels = np.repeat([1, 0], 10)
    called = np.repeat([1, 0, 1, 0], [8, 2, 1, 9])
    sure = np.array([3] * 8 + [1, 1] + [1] + [2] * 9)
    table = call_scores(labels, called, ratings(called, sure)).set_index("metric")
    assert table["value"].tolist()[:3] == pytest.approx([0.8, 0.9, 0.85])
    assert table["n"].tolist()[:2] == [10, 10]
    assert table.loc["sensitivity", ["low", "high"]].tolist() == pytest.approx([0.490, 0.943], abs=1e-3)  # Wilson
    # The misses were guesses, so the scale ranks them above what was surely cleared, below the guessed alarm.
    assert table.loc["auc", "value"] == pytest.approx((8 * 10 + 2 * 9) / 100)


def test_the_scale_of_ratings_runs_from_certainly_not_to_certainly_fractured():
    assert ratings([0, 0, 0, 1, 1, 1], [3, 2, 1, 1, 2, 3]) == pytest.approx([0, 1 / 6, 1 / 3, 2 / 3, 5 / 6, 1])


@pytest.mark.slow
def test_a_more_skilful_reader_is_better_and_misses_the_hard_ones():
    many = a_table(1200)
    auc = {}
    for skill in (0.0, 1.0, 2.0):
        answers = simulated_reader(many, skill=skill)
        scale = ratings(answers["called"], answers["sure"])
        auc[skill] = call_scores(answers["label"], answers["called"], scale).set_index("metric").loc["auc", "value"]
    assert auc[0.0] == pytest.approx(0.5, abs=0.05) and auc[0.0] < auc[1.0] < auc[2.0]
    broken = simulated_reader(many).query("label == 1")
    hard = broken["conspicuity"] < broken["conspicuity"].median()
    assert broken.loc[hard, "called"].mean() < broken.loc[~hard, "called"].mean()


def test_disagreements_are_the_cases_where_not_all_say_the_same():
    predictions = CASES[["path", "label"]].assign(probability=np.linspace(0, 1, len(CASES)))
    read = with_model(ANSWERS, predictions, threshold=0.5)
    found = disagreements(read)
    says = (read["label"] != read["called"]) | (read["called"] != read["model_called"])
    assert set(found["path"]) == set(read.loc[says, "path"]) and 0 < len(found) < len(read)
    wrong = found["called"] != found["label"]
    assert wrong.is_monotonic_decreasing, "the reader's own errors come first"
    with pytest.raises(EvaluationError, match="20 of 20 cases have no prediction"):
        with_model(ANSWERS, predictions.assign(path="other/" + predictions["path"]), threshold=0.5)


def test_the_first_sentence_counts_fractures_and_false_alarms():
    read = pd.DataFrame(
        {"label": [1, 1, 1, 0, 0], "called": [1, 1, 0, 1, 0], "model_called": [1, 0, 0, 1, 1]},
    )
    assert told_counts(read) == (
        "You found 2 of 3 fractures and raised 1 false alarm among 2 others. The model found 1 and raised 2."
    )
    assert told_counts(read.iloc[[0, 4]], who="a made-up reader").startswith(
        "A made-up reader found 1 of 1 fracture and raised 0 false alarms among 1 others."
    )


# --- files ----------------------------------------------------------------------------------------------------------


def test_a_file_holds_numbers_and_no_name_and_comes_back(tmp_path):
    file = save_reading(tmp_path / "class", ANSWERS)
    text = file.read_text()
    assert "Doe" not in text and "John" not in text and "test/" not in text and "p1" not in file.name
    again = pool_readings(tmp_path / "class", cases=CASES)
    for column in ("label", "called", "sure"):
        assert again[column].tolist() == ANSWERS[column].tolist()
    assert again["seconds"].tolist() == pytest.approx(ANSWERS["seconds"].tolist(), abs=0.05)


def test_a_folder_is_pooled_copies_count_once_and_other_cases_are_left_out(tmp_path):
    for seed in range(3):
        file = save_reading(tmp_path, simulated_reader(CASES, seed=seed))
    (tmp_path / "reading-copy.json").write_text(file.read_text())
    save_reading(tmp_path, simulated_reader(choose_cases(a_table(), count=20, seed=9)))
    with pytest.warns(DataWarning, match="1 readings left out.*other cases"):
        pooled = pool_readings(tmp_path, cases=CASES)
    assert pooled.groupby("reader").size().tolist() == [20, 20, 20]
    readers = class_scores(pooled)
    assert readers["reader"].tolist() == [1, 2, 3] and readers["n"].eq(20).all()
    assert (readers["sensitivity_low"] <= readers["sensitivity"]).all()
    with pytest.warns(DataWarning):
        assert len(class_scores(pool_readings(tmp_path, cases=CASES))) == 3
    assert len(class_scores(pool_readings(tmp_path))) == 4


def test_saving_again_under_the_same_number_replaces_the_file(tmp_path):
    number = "a" * 32
    first = save_reading(tmp_path, ANSWERS, reading=number)
    assert save_reading(tmp_path, simulated_reader(CASES, seed=5), reading=number) == first
    assert len(list(tmp_path.iterdir())) == 1


def test_classes_are_told_apart_by_their_day_and_second_readings_are_marked(tmp_path):
    days = [date(2025, 11, 27), date(2026, 11, 28)]
    for seed in range(7):
        answers = simulated_reader(CASES, seed=seed)
        save_reading(tmp_path, answers, day=days[seed < 4], again=seed == 3)
    pooled = pool_readings(tmp_path, cases=CASES)
    assert pooled.groupby("reader")["day"].first().tolist() == ["2025-11-27"] * 3 + ["2026-11-28"] * 4
    newest = first_readings(pooled)
    assert newest["reader"].nunique() == 3 and set(newest["day"]) == {"2026-11-28"} and not newest["again"].any()
    assert first_readings(pooled, day="2025-11-27")["reader"].nunique() == 3
    with pytest.raises(EvaluationError, match=r"no first reading of 2024-01-01(.|\n)*2025-11-27, 2026-11-28"):
        first_readings(pooled, day="2024-01-01")
    table = class_table(pooled)
    assert table[["day", "readers", "again"]].to_numpy().tolist() == [["2026-11-28", 3, 1], ["2025-11-27", 3, 0]]
    scored = class_scores(newest)
    assert table.loc[0, ["sensitivity", "specificity", "kappa"]].tolist() == pytest.approx(
        scored[["sensitivity", "specificity", "kappa"]].mean().tolist()
    )
    assert (table["sensitivity_low"] < table["sensitivity"]).all()
    assert (table["specificity"] < table["specificity_high"]).all()


def test_a_made_up_class_stands_in_where_there_is_none_and_its_name_says_why(tmp_path):
    pooled, one_class, name = class_or_made_up(tmp_path / "missing", CASES)
    assert name == "a made-up class (there is no usable reading in the folder)"
    assert one_class["reader"].nunique() == 12 and class_table(pooled)["readers"].tolist() == [12]
    save_reading(tmp_path, ANSWERS, day=date(2026, 11, 28))
    save_reading(tmp_path, ANSWERS, day=date(2025, 11, 27))
    pooled, one_class, name = class_or_made_up(tmp_path, CASES)
    assert name == "your class" and pooled["reader"].nunique() == 2 and set(one_class["day"]) == {"2026-11-28"}
    assert "no first reading of 2024-01-01" in class_or_made_up(tmp_path, CASES, day="2024-01-01")[2]


def test_a_class_of_second_readings_alone_is_said(tmp_path):
    save_reading(tmp_path, ANSWERS, again=True)
    pooled = pool_readings(tmp_path)
    with pytest.raises(EvaluationError, match=r"no first reading(.|\n)*marked as second readings"):
        first_readings(pooled)
    assert class_table(pooled)[["readers", "again"]].to_numpy().tolist() == [[0, 1]]


def test_a_reading_of_an_older_copy_counts_with_the_day_of_its_file(tmp_path):
    old = {key: value for key, value in _content().items() if key not in ("day", "again")}
    file = tmp_path / "reading-old.json"
    file.write_text(json.dumps(old | {"format": "fracturelib reading 1"}, sort_keys=True))
    os.utime(file, (datetime(2025, 3, 4, 12).timestamp(),) * 2)
    pooled = pool_readings(tmp_path)
    assert pooled["day"].tolist() == ["2025-03-04"] and not pooled["again"].any()


def test_a_page_left_open_over_night_can_still_be_saved(tmp_path):
    save_reading(tmp_path, ANSWERS.assign(seconds=1e6))
    assert pool_readings(tmp_path)["seconds"].max() == 86_400


def _content() -> dict:
    answer = {"case": "0" * 16, "label": 1, "called": 0, "sure": 2, "seconds": 3.5}
    known = {"format": "fracturelib reading 2", "reading": "f" * 32, "day": "2026-11-28", "again": False}
    return known | {"answers": [answer]}


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(name="John Doe"),
        lambda content: content.update(format="fracturelib reading 1"),
        lambda content: content.update(format="fracturelib reading 3"),
        lambda content: content.update(day="John Doe"),
        lambda content: content.update(day="2026-13-01"),
        lambda content: content.update(day="2026-11-28T10:31"),
        lambda content: content.update(again="John Doe"),
        lambda content: content.pop("day"),
        lambda content: content.update(reading="John Doe"),
        lambda content: content.update(answers=[]),
        lambda content: content.update(answers=content["answers"] * 2),
        lambda content: content["answers"][0].update(reader="John Doe"),
        lambda content: content["answers"][0].pop("sure"),
        lambda content: content["answers"][0].update(label=True),
        lambda content: content["answers"][0].update(called=2),
        lambda content: content["answers"][0].update(sure=[1]),
        lambda content: content["answers"][0].update(seconds=float("nan")),
        lambda content: content["answers"][0].update(seconds=10**400),
        lambda content: content["answers"][0].update(case="../../x"),
    ],
)
def test_what_is_no_reading_is_left_out_with_its_reason(tmp_path, change):
    content = _content()
    (tmp_path / "reading-good.json").write_text(json.dumps(content | {"reading": "e" * 32}))
    change(content)
    (tmp_path / "reading-bad.json").write_text(json.dumps(content))
    with pytest.warns(DataWarning, match="reading-bad.json"):
        assert len(pool_readings(tmp_path)) == 1


@pytest.mark.parametrize("data", [b"", b"\x80\x04N.", b"[" * 100_000, b"null", b'"x"', b"{" + b" " * 300_000 + b"}"])
def test_damaged_files_are_left_out(tmp_path, data):
    (tmp_path / "reading-bad.json").write_bytes(data)
    with pytest.warns(DataWarning), pytest.raises(EvaluationError, match="no usable reading"):
        pool_readings(tmp_path)


def test_nothing_saved_yet_is_said(tmp_path):
    with pytest.raises(EvaluationError, match="no usable reading"):
        pool_readings(tmp_path / "missing")
    with pytest.raises(EvaluationError):
        save_reading(tmp_path, ANSWERS.iloc[:0])


# --- the figure -----------------------------------------------------------------------------------------------------


def test_readers_stand_where_their_numbers_say_and_the_own_has_intervals():
    labels, chances = np.repeat([0, 1], 10), np.linspace(0, 1, 20)
    pooled = pd.concat([simulated_reader(CASES, seed=seed).assign(reader=seed + 1) for seed in range(3)])
    readers = class_scores(pooled)
    ax = readers_against_model(readers, labels, chances, threshold=0.5, own=2)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert any("2 readers" in name for name in names) and any("you, 20 cases" in name for name in names)
    (own,) = [container.lines[0] for container in ax.containers]
    row = readers.set_index("reader").loc[2]
    assert own.get_xydata()[0].tolist() == pytest.approx([1 - row["specificity"], row["sensitivity"]])
    plt.close("all")
    ax = readers_against_model(readers.iloc[:1], labels, chances, threshold=0.5)
    assert "reader" in [text.get_text() for text in ax.get_legend().get_texts()]
    plt.close("all")


def test_equal_readers_lie_side_by_side_and_second_readings_are_hollow():
    labels, chances = np.repeat([0, 1], 10), np.linspace(0, 1, 20)
    alike = [ANSWERS.assign(reader=reader, day="2026-11-28", again=reader > 4) for reader in range(1, 7)]
    other = simulated_reader(CASES, seed=5).assign(reader=7, day="2025-11-27", again=False)
    readers = class_scores(pd.concat([*alike, other]))
    ax = readers_against_model(readers, labels, chances, threshold=0.5, ax=plt.figure().subplots())
    drawn = {line.get_label(): line for line in ax.lines if line.get_marker() in "^<X"}
    assert list(drawn) == ["4 readers", "reader of 2025-11-27", "2 second readings"]
    places = np.vstack([drawn["4 readers"].get_xydata(), drawn["2 second readings"].get_xydata()])
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2)[~np.eye(6, dtype=bool)]
    assert gaps.min() > 0.02, "none hides another"
    assert places.mean(axis=0) == pytest.approx([1 - readers["specificity"][0], readers["sensitivity"][0]])
    assert [drawn[name].get_markerfacecolor() for name in list(drawn)[1:]] == ["none", "none"]
    (alone,) = drawn["reader of 2025-11-27"].get_xydata().tolist()
    assert alone == pytest.approx([1 - readers["specificity"][6], readers["sensitivity"][6]]), "alone, it does not move"
    plt.close("all")


def test_no_reader_of_many_days_is_left_out():
    days = [f"2026-01-{day:02d}" for day in range(1, 9)]
    many = [simulated_reader(CASES, seed=n).assign(reader=n, day=day, again=False) for n, day in enumerate(days)]
    readers = class_scores(pd.concat(many))
    labels, chances = np.repeat([0, 1], 10), np.linspace(0, 1, 20)
    ax = readers_against_model(readers, labels, chances, threshold=0.5, ax=plt.figure().subplots())
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "reader of 2026-01-07" in names and "3 readers of earlier days" in names
    assert sum(len(line.get_xydata()) for line in ax.lines if line.get_marker() in ("^", "<", ">", "v", "p", "*")) == 8
    plt.close("all")


def test_the_mean_of_a_class_has_intervals(tmp_path):
    for seed in range(5):
        save_reading(tmp_path, simulated_reader(CASES, seed=seed))
    pooled = pool_readings(tmp_path)
    table = class_table(pooled)
    ax = readers_against_model(
        class_scores(pooled), [0, 1], [0.2, 0.7], threshold=0.5, classes=table, ax=plt.figure().subplots()
    )
    (mean,) = [container for container in ax.containers if "their mean" in container.get_label()]
    assert mean.lines[0].get_xydata()[0] == pytest.approx([1 - table["specificity"][0], table["sensitivity"][0]])
    assert len(mean.lines[2]) == 2, "a bar for each rate"
    plt.close("all")


def test_the_scores_of_a_class_are_those_of_each_reader_alone(tmp_path):
    """10,000 readings are scored at once; each by itself, with what only a single reader needs, took minutes."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        save_reading(
            tmp_path, CASES.assign(called=rng.integers(0, 2, len(CASES)), sure=1, seconds=rng.random(len(CASES)))
        )
    pooled = pool_readings(tmp_path)
    for row in class_scores(pooled).itertuples():
        read = pooled[pooled["reader"] == row.reader]
        alone = call_scores(read["label"], read["called"], read["called"]).set_index("metric")
        for metric in ("sensitivity", "specificity"):
            found = [getattr(row, f"{metric}{end}") for end in ("", "_low", "_high")]
            assert found == alone.loc[metric, ["value", "low", "high"]].tolist()
        assert row.kappa == pytest.approx(cohens_kappa(read["called"], read["label"])["kappa"], nan_ok=True)
        assert row.n == len(read) and row.seconds == read["seconds"].median()
