"""The truth table: the chain's books win, every transaction ends in one state, and nothing gets lost on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.books import Books
from analysis.judge import verdict_text
from analysis.run import Run
from analysis.transactions import State, TransactionTruth, Why, make_table, tell_truth, truth_table
from bundle import ErrorKind, LoadNote, LoadStep, Rejection, write_load_note
from tests.bundles import Row, SyntheticRun, failed, healthy, put_twice, sample, skip_heights
from tests.unit.analysis.judgements import codes

SETTLED = 3.0
"""After the start of the load: the books end long after."""


def no(
    kind: ErrorKind, rejection: Rejection | None = None, codespace: str | None = None, code: int | None = None
) -> Row:
    """Return the columns of a submission that was refused."""
    return failed("fail", kind, "words", rejection=rejection, codespace=codespace, code=code)


def with_one(told: Row, code: int | None, *, after: float = SETTLED, **more: Any) -> SyntheticRun:
    """Return a healthy run with one more submission, `after` seconds into the load, and its transaction, if any."""
    run = healthy()
    run.rows.append(sample(run.load_start_at_s + after, "tx.submit", "TX", 5.0, tx_hash="ODD") | told | more)
    if code is not None:
        codespace = "sdk" if code else ""
        odd = {"tx_hash": "ODD", "code": code, "codespace": codespace, "index": 99}
        run.transactions.append(run.transactions[-1] | odd)
    return run


def odd(run: Run) -> Any:
    """Return the row of the transaction that `with_one` added: the last one."""
    return truth_table(run).iloc[-1]


BACK_PRESSURE, CLIENT_ERROR = ErrorKind.BACK_PRESSURE, ErrorKind.CLIENT_ERROR
UNSIGNED = {"tx_hash": None}
CASES: list[tuple[str, Row, int | None, State, str]] = [
    ("accepted", {}, 0, State.COMMITTED, ""),
    ("accepted", {}, 5, State.COMMITTED_FAILED, ""),
    ("accepted", {}, None, State.NEVER_INCLUDED, ""),
    ("timed out", failed("unknown", ErrorKind.TIMEOUT), 0, State.COMMITTED, ""),
    ("timed out", failed("unknown", ErrorKind.TIMEOUT), 5, State.COMMITTED_FAILED, ""),
    ("timed out", failed("unknown", ErrorKind.TIMEOUT), None, State.UNKNOWN, Why.NO_ANSWER),
    ("broken", failed("unknown", ErrorKind.BROKEN), None, State.UNKNOWN, Why.NO_ANSWER),
    ("HTTP 500", no(ErrorKind.SERVER_ERROR), 0, State.COMMITTED, ""),
    ("HTTP 500", no(ErrorKind.SERVER_ERROR), None, State.UNKNOWN, Why.BAD_ANSWER),
    ("garbage", no(ErrorKind.BAD_ANSWER), None, State.UNKNOWN, Why.BAD_ANSWER),
    ("refused", no(ErrorKind.REFUSED), None, State.UNREACHABLE, ""),
    ("not sent", no(ErrorKind.NOT_SENT) | UNSIGNED, None, State.NOT_SENT, ""),
    ("CheckTx", no(CLIENT_ERROR, Rejection.CHECK_TX, "sdk", 11), None, State.REJECTED_CHECKTX, ""),
    ("sequence", no(CLIENT_ERROR, Rejection.SEQUENCE, "sdk", 32), None, State.REJECTED_SEQUENCE, ""),
    ("full", no(BACK_PRESSURE, Rejection.MEMPOOL_FULL, "jsonrpc", -32603), None, State.REJECTED_MEMPOOL_FULL, ""),
    ("in cache", no(CLIENT_ERROR, Rejection.IN_CACHE, "jsonrpc", -32603), None, State.REJECTED_IN_CACHE, ""),
    ("rate", no(BACK_PRESSURE, Rejection.RATE_LIMIT, "ratelimit", 1), None, State.REJECTED_RATE_LIMIT, ""),
    ("rate", no(BACK_PRESSURE, Rejection.RATE_LIMIT, "ratelimit", 1), 0, State.COMMITTED, ""),
    ("old bundle", no(CLIENT_ERROR), None, State.REJECTED_OTHER, ""),
    ("old bundle", no(BACK_PRESSURE), None, State.REJECTED_OTHER, ""),
    ("killed before signing", failed("unknown", ErrorKind.BROKEN) | UNSIGNED, None, State.UNKNOWN, Why.NO_ANSWER),
]


@pytest.mark.parametrize(("label", "told", "code", "state", "why"), CASES)
def test_the_books_win_over_what_the_client_was_told(
    tmp_path: Path, label: str, told: Row, code: int | None, state: State, why: str
) -> None:
    row = odd(with_one(told, code).open(tmp_path))
    assert (row["state"], row["why"]) == (state, why)
    if code is not None:
        assert (row["code"], row["codespace"]) == (code, "sdk" if code else "")
    elif told.get("code"):
        assert (row["code"], row["codespace"]) == (told["code"], told["codespace"])


@pytest.mark.parametrize(
    ("valid_for", "told", "state"),
    [
        (10.0, {}, State.EXPIRED),
        (10.0, failed("unknown", ErrorKind.TIMEOUT), State.EXPIRED),
        (10.0, no(CLIENT_ERROR, Rejection.CHECK_TX, "sdk", 30), State.REJECTED_CHECKTX),
        (300.0, {}, State.NEVER_INCLUDED),
    ],
)
def test_an_unordered_transaction_expires_when_its_own_time_has_passed(
    tmp_path: Path, valid_for: float, told: Row, state: State
) -> None:
    run = with_one(told, None)
    run.rows[-1]["valid_until_at_s"] = run.rows[-1]["sent_at_s"] + valid_for
    assert odd(run.open(tmp_path))["state"] == state


def test_books_that_end_soon_after_cannot_say_never(tmp_path: Path) -> None:
    run = with_one({}, None, after=18.0)
    assert tuple(odd(run.open(tmp_path))[["state", "why"]]) == (State.UNKNOWN, Why.BOOKS_TOO_SHORT)


@pytest.mark.parametrize("how", ["gap", "no closing state", "damaged", "no blocks"])
def test_books_with_a_gap_cannot_say_never(tmp_path: Path, how: str) -> None:
    run = with_one({}, None)
    if how == "gap":
        skip_heights(run, run.transactions[0]["height"])
    elif how == "no closing state":
        run.supply.pop()
    elif how == "no blocks":
        run.blocks = []
    root = run.write(tmp_path)
    if how == "damaged":
        (root / "supply.parquet").write_bytes(b"")
    assert tuple(odd(Run.open(root))[["state", "why"]]) == (State.UNKNOWN, Why.BOOKS_INCOMPLETE)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_submissions_the_one_that_says_more_counts(tmp_path: Path, order: tuple[int, int]) -> None:
    """The second copy of what a node has taken is refused as known: that does not make it rejected."""
    run = healthy()
    told = [{}, no(CLIENT_ERROR, Rejection.IN_CACHE, "jsonrpc", -32603)]
    for place in order:
        run.rows.append(sample(run.load_start_at_s + 1, "tx.submit", "TX", 5.0, tx_hash="ODD") | told[place])
    opened = run.open(tmp_path)
    assert (odd(opened)["state"], odd(opened)["submissions"]) == (State.NEVER_INCLUDED, 2)
    truth = tell_truth(opened)
    assert truth is not None
    assert truth.submissions == truth.transactions + 1


@pytest.mark.parametrize(("second", "applied"), [(0, 2), (32, 1)])
def test_a_transaction_in_two_blocks_is_a_duplicate_and_counts_once(tmp_path: Path, second: int, applied: int) -> None:
    run = healthy()
    tx_hash = put_twice(run)
    run.transactions[-1]["code"] = second
    opened = run.open(tmp_path)
    table = truth_table(opened)
    row = table[table["tx_hash"] == tx_hash].iloc[0]
    assert (row["state"], row["inclusions"], row["applied"], row["is_duplicate"]) == ("committed", 2, applied, True)
    truth = tell_truth(opened)
    assert truth is not None
    assert (truth.duplicates, truth.transactions) == (1, 192)


def test_contradictions_are_counted_and_warned_of(tmp_path: Path) -> None:
    """A refusal and a silence about what is in a block change no verdict; a lost confirmation does."""
    run = with_one(no(BACK_PRESSURE, Rejection.RATE_LIMIT, "ratelimit", 1), 0)
    run.rows.append(
        sample(run.load_start_at_s + 4, "tx.submit", "TX", 5.0, tx_hash="MUTE") | failed("unknown", ErrorKind.TIMEOUT)
    )
    run.transactions.append(run.transactions[-1] | {"tx_hash": "MUTE", "index": 100})
    found = run.judge(tmp_path)
    assert found.transactions is not None
    assert found.transactions.contradictions == {"rejected_but_included": 1, "unanswered_but_included": 1}
    warned = {reason.code: reason for reason in found.warnings}
    assert set(warned) == {"transactions.rejected_but_included", "transactions.unanswered_but_included"}
    assert [item.row for item in warned["transactions.rejected_but_included"].evidence] == [len(run.rows) - 2]
    assert "transfers.lost" not in codes(found)


def test_too_few_accounts_are_warned_of_once(tmp_path: Path) -> None:
    run = healthy()
    root = run.write(tmp_path, sealed=False)
    for worker in ("worker-0", "worker-1"):
        ready = LoadNote(worker=worker, event=LoadStep.READY, at_s=1.0, pid=1, wall_minus_monotonic_s=0.0)
        short = replace(
            ready, event=LoadStep.ACCOUNTS_TOO_FEW, accounts=5, needed=25, rate_per_s=50.0, block_time_s=1.0
        )
        for note in (ready, short):
            write_load_note(root / "logs" / "load.jsonl", note)
    from analysis.judge import judge
    from bundle import open_bundle, read_manifest, seal

    layout = open_bundle(root)
    seal(layout, read_manifest(layout.manifest))
    _, found = judge(root)
    [reason] = found.warnings
    assert reason.code == "accounts.too_few"
    assert reason.sentence.startswith("10 load accounts are funded; 50 are needed for 100 transfers a second")


@pytest.mark.parametrize("text", ["{", "[]\n", "\xff"])
def test_a_log_of_the_load_that_is_none_is_damage(tmp_path: Path, text: str) -> None:
    root = healthy().write(tmp_path, sealed=False)
    (root / "logs" / "load.jsonl").write_bytes(text.encode("latin-1"))
    assert "logs/load.jsonl" in {item.file for item in Run.open(root).damage}


def test_without_submissions_there_is_no_truth(tmp_path: Path) -> None:
    run = healthy()
    run.samples = {part: [row for row in rows if row["operation"] != "tx.submit"] for part, rows in run.samples.items()}
    assert tell_truth(run.open(tmp_path)) is None


def test_fates_are_grouped_by_state_and_code_with_an_example(tmp_path: Path) -> None:
    run = healthy()
    refusals = [("sdk", 11, "A"), ("sdk", 13, "B"), ("sdk", 11, "C")]
    for codespace, code, tx_hash in refusals:
        told = no(CLIENT_ERROR, Rejection.CHECK_TX, codespace, code)
        run.rows.append(sample(run.load_start_at_s + 1, "tx.submit", "TX", 5.0, tx_hash=tx_hash) | told)
    truth = tell_truth(run.open(tmp_path))
    assert truth is not None
    found = [(fate.state, fate.codespace, fate.code, fate.count, fate.example) for fate in truth.fates[1:]]
    assert found == [
        (State.REJECTED_CHECKTX, "sdk", 11, 2, "A"),
        (State.REJECTED_CHECKTX, "sdk", 13, 1, "B"),
    ]
    assert truth.fates[1].share_ratio == 2 / 195


def test_a_crash_taints_what_rests_on_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(run: Run) -> TransactionTruth:
        raise KeyError("column")

    monkeypatch.setattr("analysis.judge.tell_truth", broken)
    found = healthy().judge(tmp_path)
    [check] = [check for check in found.checks if check.name == "transactions.told"]
    assert (check.taints, found.transactions) == (("transactions",), None)


def test_the_verdict_holds_the_table_and_is_the_same_each_time(tmp_path: Path) -> None:
    run = with_one(no(CLIENT_ERROR, Rejection.SEQUENCE, "sdk", 32), None)
    texts = {verdict_text(run.judge(tmp_path / name)) for name in ("a", "b")}
    [text] = texts
    assert '"state": "rejected_sequence"' in text


# --- laws ---

HASHES = st.sampled_from([None, "A", "B", "C", "D"])
SUBMISSIONS = st.lists(
    st.tuples(
        HASHES,
        st.sampled_from(["ok", "fail", "unknown"]),
        st.sampled_from([None, *ErrorKind]),
        st.sampled_from([None, *Rejection]),
        st.sampled_from([None, 32, -32603]),
        st.floats(0, 100),
        st.one_of(st.none(), st.floats(0, 200)),
    ),
    max_size=12,
)
BLOCKS = st.lists(st.tuples(st.sampled_from("ABCX"), st.integers(1, 9), st.sampled_from([0, 5, 32])), max_size=8)


@settings(max_examples=100, deadline=None)
@given(submissions=SUBMISSIONS, blocks=BLOCKS, confirmed=st.lists(HASHES, max_size=3), gapless=st.booleans())
def test_every_submission_is_in_exactly_one_state(
    submissions: list[Any], blocks: list[Any], confirmed: list[str | None], gapless: bool
) -> None:
    """Law: whatever was told and whatever is in the blocks, the states add up to what was submitted."""
    columns = ("tx_hash", "outcome", "error_kind", "rejection", "code", "sent_at_s", "valid_until_at_s")
    rows = [dict(zip(columns, told, strict=True)) | {"operation": "tx.submit"} for told in submissions]
    rows += [{"tx_hash": tx_hash, "outcome": "ok", "operation": "tx.confirm"} for tx_hash in confirmed]
    more = ("operation", "protocol", "latency_ms", "detail", "bytes", "codespace", "intended_at_s", "part", "row")
    samples = pd.DataFrame(rows, columns=[*columns, *more], dtype=object)
    samples["sent_at_s"] = samples["sent_at_s"].astype(float)
    chain = pd.DataFrame(
        [(tx_hash, height, place, code, "sdk") for place, (tx_hash, height, code) in enumerate(blocks)],
        columns=["tx_hash", "height", "index", "code", "codespace"],
    )
    books = Books(is_gapless=gapless, is_whole=gapless, first_at_s=0.0, last_at_s=100.0)
    table = make_table(samples, chain, books)
    assert table["submissions"].sum() == len(submissions)
    named = {told[0] for told in submissions} - {None}
    assert len(table) == len(named) + sum(told[0] is None for told in submissions)
    assert set(table["state"]) <= {state.value for state in State}
    in_blocks = {tx_hash for tx_hash, _, _ in blocks}
    applied = {tx_hash for tx_hash, _, code in blocks if code == 0}
    for row in table.to_dict("records"):
        assert (row["state"] == State.COMMITTED) == (row["tx_hash"] in applied)
        assert (row["state"] in (State.COMMITTED, State.COMMITTED_FAILED)) == (row["tx_hash"] in in_blocks)
        assert (row["why"] != "") == (row["state"] == State.UNKNOWN)
        if not gapless:
            assert row["state"] not in (State.EXPIRED, State.NEVER_INCLUDED)
        assert row["inclusions"] == sum(tx_hash == row["tx_hash"] for tx_hash, _, _ in blocks)
