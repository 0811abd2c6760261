from datetime import UTC, datetime, timedelta

import pandera.errors
import polars as pl
import pytest

from features.schema import (
    COUNTS,
    ENGAGEMENT,
    IMPORT,
    KNOWN,
    OBSERVATION,
    OPTIONAL,
    POST,
    PRIMARY,
    REQUIRED,
    Platform,
    columns_required,
    empty,
    engagement,
    import_schema,
    primary,
    values_required,
)

MOMENT = datetime(2026, 1, 31, 12, tzinfo=UTC)


def one_row(**values: object) -> pl.DataFrame:
    row = {
        "platform": "tiktok",
        "post_id": "p",
        "account_id": "a",
        "published_at": MOMENT,
        "observed_at": MOMENT + timedelta(days=4),
        "views": 7,
    }
    return pl.DataFrame([{**row, **values}], schema=dict(IMPORT))


def test_every_platform_has_a_primary_count_and_an_engagement_rate() -> None:
    assert set(PRIMARY) == set(ENGAGEMENT) == set(Platform)
    assert primary("instagram") == "likes"
    assert engagement(Platform.TIKTOK).parts == ("likes", "comments", "shares", "saves")
    for rate in ENGAGEMENT.values():
        assert {*rate.parts, rate.base} <= set(COUNTS)


def test_an_unknown_platform_has_no_primary_count() -> None:
    with pytest.raises(ValueError, match="myspace"):
        primary("myspace")


def test_the_two_tables_hold_every_column_of_the_import_format() -> None:
    assert set(POST) | set(OBSERVATION) == set(IMPORT)
    assert set(POST) & set(OBSERVATION) == {"platform", "post_id", "account_id"}
    assert set(POST) < set(KNOWN)


def test_the_import_format_ends_with_the_optional_columns() -> None:
    assert tuple(IMPORT)[-len(OPTIONAL) :] == OPTIONAL
    assert columns_required() == tuple(IMPORT)[: -len(OPTIONAL)]


def test_posts_to_predict_need_no_outcomes_and_no_observation() -> None:
    spared = set(columns_required()) - set(columns_required(for_prediction=True))
    assert spared == {"observed_at", "views", "likes", "comments", "shares", "saves"}
    assert set(values_required()) - set(values_required(for_prediction=True)) == {"observed_at"}


def test_a_table_of_no_rows_still_passes_the_gate() -> None:
    import_schema().validate(empty(IMPORT), lazy=True)


def test_a_row_of_unknowns_passes_the_gate() -> None:
    import_schema().validate(one_row(views=None), lazy=True)


@pytest.mark.parametrize("name", REQUIRED)
def test_the_gate_stops_a_row_without(name: str) -> None:
    with pytest.raises(pandera.errors.SchemaErrors, match=name):
        import_schema().validate(one_row(**{name: None}), lazy=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("platform", "myspace"),
        ("views", -1),
        ("duration_s", -0.5),
        ("format", "medium"),
        ("caption", ""),
        ("published_at", MOMENT + timedelta(days=5)),
    ],
)
def test_the_gate_stops_an_impossible_value(name: str, value: object) -> None:
    with pytest.raises(pandera.errors.SchemaErrors, match=name):
        import_schema().validate(one_row(**{name: value}), lazy=True)


def test_the_gate_stops_other_columns_and_types() -> None:
    for wrong in (one_row().drop("views"), one_row().with_columns(pl.col("views").cast(pl.Float64))):
        with pytest.raises(pandera.errors.SchemaErrors, match="views"):
            import_schema().validate(wrong, lazy=True)


def test_the_gate_lets_posts_to_predict_pass_unobserved() -> None:
    import_schema(for_prediction=True).validate(one_row(observed_at=None), lazy=True)
