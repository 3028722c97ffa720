"""Laws of addresses, of the wire format and of transactions: what is encoded is decoded, and rubbish breaks nothing."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

import pytest
from coincurve import PublicKey
from coincurve.ecdsa import cdata_to_der, deserialize_compact
from hypothesis import assume, given
from hypothesis import strategies as st

from target.address import decode, encode
from target.keys import account_from_secret, derive_accounts
from target.transaction import ChainIdentity, Transfer, TransferSigner, hash_of, read_sequence, read_transfer
from target.wire import bytes_field, fields, first_bytes, first_int, text_field, uint_field, varint
from tests.strategies import FEW, LAW, mnemonics, prefixes

pytestmark = pytest.mark.slow

CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
payloads = st.binary(max_size=45)
uint64 = st.integers(0, 2**64 - 1)
SECRETS = st.binary(min_size=32, max_size=32).filter(lambda secret: 0 < int.from_bytes(secret, "big") < 2**255)

# --- addresses ---


@LAW
@given(prefixes, payloads)
def test_address_comes_back(prefix: str, payload: bytes) -> None:
    """Law: decode(encode(x)) == x, in either case."""
    text = encode(prefix, payload)
    assert decode(text) == decode(text.upper()) == (prefix, payload)
    assert len(text) == len(prefix) + 1 + -(-len(payload) * 8 // 5) + 6


@LAW
@given(prefixes, st.binary(min_size=20, max_size=32), st.data())
def test_one_wrong_character_is_always_found(prefix: str, payload: bytes, data: st.DataObject) -> None:
    """Law: bech32 finds any one substitution, wherever it is."""
    text = encode(prefix, payload)
    place = data.draw(st.integers(0, len(text) - 1))
    char = data.draw(st.sampled_from([char for char in CHARSET + "b1io!~ é" if char != text[place]]))
    with pytest.raises(ValueError):
        decode(text[:place] + char + text[place + 1 :])


@LAW
@given(prefixes, st.binary(min_size=20, max_size=20), st.data())
def test_up_to_four_wrong_words_are_always_found(prefix: str, payload: bytes, data: st.DataObject) -> None:
    """Law of BIP-173: up to four wrong characters in the data part are found."""
    text = encode(prefix, payload)
    start = len(prefix) + 1
    wrong = list(text)
    for place in data.draw(st.sets(st.integers(start, len(text) - 1), min_size=1, max_size=4)):
        wrong[place] = data.draw(st.sampled_from([char for char in CHARSET if char != text[place]]))
    with pytest.raises(ValueError):
        decode("".join(wrong))


@LAW
@given(st.text(max_size=100))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    """Law: decoding raises ValueError and nothing else."""
    try:
        prefix, payload = decode(text)
    except ValueError:
        return
    assert encode(prefix, payload) == text.lower()


@FEW
@given(mnemonics, prefixes, st.integers(0, 2**31 - 4))
def test_a_range_of_accounts_is_its_accounts(mnemonic: str, prefix: str, first: int) -> None:
    """Law: the accounts of a range are those of its places, and their addresses are of their keys."""
    accounts = list(derive_accounts(mnemonic, prefix=prefix, first=first, count=3))
    assert len({account.address for account in accounts}) == 3
    assert accounts[2:] == list(derive_accounts(mnemonic, prefix=prefix, first=first + 2, count=1))
    for account in accounts:
        assert account == account_from_secret(account.private_key.secret, prefix=prefix, index=account.index)


# --- wire format ---

_numbers = st.integers(1, 2**29 - 1)
_written = st.lists(
    st.tuples(_numbers, st.integers(1, 2**64 - 1) | st.binary(max_size=200) | st.text(min_size=1, max_size=30)),
    max_size=6,
)


def encoded(written: list[tuple[int, int | bytes | str]]) -> bytes:
    out = b""
    for number, value in written:
        match value:
            case int():
                out += uint_field(number, value)
            case bytes():
                out += bytes_field(number, value)
            case str():
                out += text_field(number, value)
    return out


def as_read(written: list[tuple[int, int | bytes | str]]) -> list[tuple[int, int | bytes]]:
    return [(number, value.encode() if isinstance(value, str) else value) for number, value in written]


@LAW
@given(_written)
def test_message_comes_back(written: list[tuple[int, int | bytes | str]]) -> None:
    """Law: fields(encode(x)) == x; the first of a number is the first that was written."""
    message = encoded(written)
    read = list(fields(message))
    assert read == as_read(written)
    for number, _ in read:
        ints = [value for found, value in read if found == number and isinstance(value, int)]
        texts = [value for found, value in read if found == number and isinstance(value, bytes)]
        assert first_int(message, number) == (ints or [0])[0]
        assert first_bytes(message, number) == (texts or [b""])[0]


@LAW
@given(_written, st.data())
def test_message_cut_anywhere_is_shorter_or_refused(
    written: list[tuple[int, int | bytes | str]], data: st.DataObject
) -> None:
    """Law: a cut message gives the fields before the cut, then ends there or raises ValueError; nothing else."""
    message = encoded(written)
    cut = message[: data.draw(st.integers(0, len(message)))]
    read = []
    walk = fields(cut)
    try:
        for field in walk:
            read.append(field)
    except ValueError:
        assert len(read) < len(written)
    assert read == as_read(written)[: len(read)]


@LAW
@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_value_error(message: bytes) -> None:
    """Law: walking raises ValueError and nothing else, and every part comes from the message."""
    try:
        read = list(fields(message))
    except ValueError:
        return
    assert sum(len(value) for _, value in read if isinstance(value, bytes)) <= len(message)


@LAW
@given(uint64)
def test_varint_is_as_short_as_can_be(value: int) -> None:
    """Law: seven bits a byte, the last byte without the mark; what a canonical encoder writes."""
    out = varint(value)
    assert len(out) == max(1, -(-value.bit_length() // 7))
    assert all(byte & 0x80 for byte in out[:-1])
    assert not out[-1] & 0x80
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(out)) == value


# --- transactions ---

_amounts = st.integers(0, 2**70)
_denoms = st.from_regex(r"[a-z][a-z0-9/]{2,12}", fullmatch=True)


@LAW
@given(
    secret=SECRETS,
    amount=_amounts,
    place=uint64,
    number=uint64,
    memo=st.text(max_size=40),
    denom=_denoms,
    chain_id=st.text(min_size=1, max_size=40),
    is_ordered=st.booleans(),
)
def test_transfer_comes_back_and_is_signed(
    secret: bytes, amount: int, place: int, number: int, memo: str, denom: str, chain_id: str, is_ordered: bool
) -> None:
    """Law: read(transfer(x)) == x, for both kinds; the signature is over body, auth info, chain and account number."""
    key = account_from_secret(secret, prefix="ve", index=0)
    chain = ChainIdentity(chain_id=chain_id, denom=denom, gas_price=0.025)
    signer = TransferSigner(key, chain, account_number=number)
    if is_ordered:
        made = signer.transfer("ve1recipient", amount, sequence=place, memo=memo)
    else:
        made = signer.unordered_transfer("ve1recipient", amount, timeout_at_ns=place, memo=memo)
    assert read_transfer(made.raw, denom) == Transfer(
        sender=key.address, recipient="ve1recipient", amount=amount, fee=3000
    )
    assert read_transfer(made.raw, denom + "x") is None
    assert read_sequence(made.raw) == (place if is_ordered else 0)
    assert made.tx_hash == hash_of(made.raw)
    body, auth_info, signature = (value for _, value in fields(made.raw) if isinstance(value, bytes))
    assert first_bytes(body, 2).decode() == memo
    timeout = first_bytes(body, 5)
    assert first_int(body, 4) == (0 if is_ordered else 1)
    assert first_int(timeout, 1) * 10**9 + first_int(timeout, 2) == (0 if is_ordered else place)
    document = bytes_field(1, body) + bytes_field(2, auth_info) + text_field(3, chain_id) + uint_field(4, number)
    assert PublicKey(key.public_key).verify(cdata_to_der(deserialize_compact(signature)), document)


@LAW
@given(st.binary(max_size=300))
def test_any_bytes_are_a_transfer_or_none(raw: bytes) -> None:
    """Law: reading a transaction never raises; a sequence is a number or a ValueError."""
    found = read_transfer(raw, "uve")
    assert found is None or isinstance(found, Transfer)
    try:
        assert read_sequence(raw) >= 0
    except ValueError:
        return


@LAW
@given(st.data())
def test_broken_transfer_is_a_transfer_or_none(data: st.DataObject) -> None:
    """Law: the same for a real transaction with bytes changed, cut out or put in."""
    key = account_from_secret(bytes(31) + b"\x07", prefix="ve", index=0)
    chain = ChainIdentity(chain_id="c", denom="uve", gas_price=0.025)
    raw = bytearray(TransferSigner(key, chain, account_number=1).transfer("ve1b", 10, sequence=1).raw)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        assume(raw)
    found = read_transfer(bytes(raw), "uve")
    assert found is None or isinstance(found.amount, int)


@LAW
@given(st.integers(0, 10**8), st.floats(0, 1e6))
def test_fee_is_the_price_rounded_up(gas: int, price: float) -> None:
    """Law: the fee is the least whole number that is not below gas times the price as written."""
    exact = Decimal(repr(price)) * gas
    chain = ChainIdentity(chain_id="c", denom="uve", gas_price=price)
    assert chain.fee(gas) == int(exact.to_integral_value(rounding=ROUND_CEILING))
