"""Transfers: the exact bytes, the signature over them, and what is read back from a block."""

from __future__ import annotations

import hashlib

import pytest
from coincurve import PublicKey
from coincurve.ecdsa import cdata_to_der, deserialize_compact

from target.keys import AccountKey, derive_accounts
from target.transaction import (
    TRANSFER_GAS,
    ChainIdentity,
    SignedTransaction,
    Transfer,
    TransferSigner,
    hash_of,
    read_sequence,
    read_transfer,
)
from target.wire import any_message, bytes_field, coin, fields, text_field, uint_field

MNEMONIC = "abandon " * 11 + "about"
CHAIN = ChainIdentity(chain_id="virtengine-localnet-1", denom="uve", gas_price=0.025)
SENDER, RECIPIENT = derive_accounts(MNEMONIC, prefix="ve", count=2)
ORDER = int("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141", 16)


def framed(tag: str, content: bytes) -> bytes:
    """Return one field: its key in hex, its length (below 16384) and its content."""
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([size % 128 + 128, size // 128])
    return bytes.fromhex(tag) + length + content


def signer(key: AccountKey = SENDER, chain: ChainIdentity = CHAIN, number: int = 7) -> TransferSigner:
    return TransferSigner(key, chain, account_number=number)


def parts_of(transaction: SignedTransaction) -> tuple[bytes, bytes, bytes]:
    """Return (body, auth info, signature) of a transaction that has each once, in this order, and nothing else."""
    found = list(fields(transaction.raw))
    assert [number for number, _ in found] == [1, 2, 3]
    body, auth_info, signature = (value for _, value in found if isinstance(value, bytes))
    return body, auth_info, signature


def assert_signed(transaction: SignedTransaction, key: AccountKey, chain_id: str, number: int) -> None:
    """Assert that the signature is the key's, over the sign document, with the low s."""
    body, auth_info, signature = parts_of(transaction)
    document = framed("0a", body) + framed("12", auth_info) + framed("1a", chain_id.encode())
    if number:
        document += bytes.fromhex("20") + bytes([number])
    assert len(signature) == 64
    assert int.from_bytes(signature[32:], "big") <= ORDER // 2
    assert PublicKey(key.public_key).verify(cdata_to_der(deserialize_compact(signature)), document)


# --- the exact bytes ---


def expected_body(amount: str, memo: str = "", order: bytes = b"") -> bytes:
    """Return TxBody as written down from the proto files of the Cosmos SDK, tag by tag."""
    send = framed("0a", SENDER.address.encode()) + framed("12", RECIPIENT.address.encode())
    send += framed("1a", framed("0a", b"uve") + framed("12", amount.encode()))
    message = framed("0a", b"/cosmos.bank.v1beta1.MsgSend") + framed("12", send)
    return framed("0a", message) + (framed("12", memo.encode()) if memo else b"") + order


def expected_auth_info(sequence: bytes, fee: str = "3000") -> bytes:
    """Return AuthInfo the same way: one signer, mode DIRECT, 120000 gas (c0 a9 07)."""
    key = framed("0a", b"/cosmos.crypto.secp256k1.PubKey") + framed("12", framed("0a", SENDER.public_key))
    who = framed("0a", key) + bytes.fromhex("1204" + "0a02" + "0801") + sequence
    return framed("0a", who) + framed(
        "12", framed("0a", framed("0a", b"uve") + framed("12", fee.encode())) + bytes.fromhex("10c0a907")
    )


def test_bytes_of_an_ordered_transfer() -> None:
    """Body and auth info, bit for bit."""
    body, auth_info, _ = parts_of(signer().transfer(RECIPIENT.address, 1500, sequence=5, memo="hello"))
    assert body == expected_body("1500", "hello")
    assert auth_info == expected_auth_info(bytes.fromhex("1805"))


def test_first_transfer_of_an_account_leaves_out_the_sequence() -> None:
    """Sequence 0 is protobuf's zero value: the node encodes it without, and compares bytes."""
    body, auth_info, _ = parts_of(signer().transfer(RECIPIENT.address, 1, sequence=0))
    assert body == expected_body("1")
    assert auth_info == expected_auth_info(b"")


def test_bytes_of_an_unordered_transfer() -> None:
    """`unordered` is field 4, the timeout field 5, and there is no sequence."""
    at_ns = 1_750_000_000_000_000_007
    body, auth_info, _ = parts_of(signer().unordered_transfer(RECIPIENT.address, 1500, timeout_at_ns=at_ns))
    # 1750000000 is the varint 80 c3 bb c2 06.
    order = bytes.fromhex("2001" + "2a08" + "0880c3bbc206" + "1007")
    assert body == expected_body("1500", order=order)
    assert auth_info == expected_auth_info(b"")


def test_bytes_of_a_transfer_to_many() -> None:
    """One input with the sum, field 1; an output each, field 2; each with an address and coins."""
    outputs = [(RECIPIENT.address, 1500), (SENDER.address, 7)]
    body, auth_info, _ = parts_of(signer().multi_transfer(outputs, sequence=5))

    def side(tag: str, address: str, amount: bytes) -> bytes:
        coin_ = framed("12", framed("0a", b"uve") + framed("12", amount))
        return framed(tag, framed("0a", address.encode()) + coin_)

    message = side("0a", SENDER.address, b"1507")
    message += side("12", RECIPIENT.address, b"1500") + side("12", SENDER.address, b"7")
    kind = framed("0a", b"/cosmos.bank.v1beta1.MsgMultiSend")
    assert body == framed("0a", kind + framed("12", message))
    assert auth_info == expected_auth_info(bytes.fromhex("1805"))


def test_whole_second_has_no_nanoseconds() -> None:
    """A timeout on the second leaves out the zero."""
    at_ns = 1_750_000_000_000_000_000
    body, _, _ = parts_of(signer().unordered_transfer(RECIPIENT.address, 1, timeout_at_ns=at_ns))
    assert body.endswith(bytes.fromhex("2a06" + "0880c3bbc206"))


# --- signature and hash ---


@pytest.mark.parametrize("number", [0, 1, 7, 127])
def test_signature_covers_chain_and_account(number: int) -> None:
    """Over the sign document of mode DIRECT, account number 0 left out."""
    for transaction in (
        signer(number=number).transfer(RECIPIENT.address, 12, sequence=3),
        signer(number=number).unordered_transfer(RECIPIENT.address, 12, timeout_at_ns=5_000_000_000),
    ):
        assert_signed(transaction, SENDER, CHAIN.chain_id, number)


def test_signature_holds_for_nothing_else() -> None:
    """Another chain, account number or key does not verify."""
    transaction = signer().transfer(RECIPIENT.address, 12, sequence=3)
    for key, chain_id, number in (
        (SENDER, "virtengine-1", 7),
        (SENDER, CHAIN.chain_id, 8),
        (RECIPIENT, CHAIN.chain_id, 7),
    ):
        with pytest.raises(AssertionError):
            assert_signed(transaction, key, chain_id, number)


def test_hash_is_that_of_the_bytes() -> None:
    """Upper-case hex of SHA-256, as blocks and queries have it."""
    transaction = signer().transfer(RECIPIENT.address, 12, sequence=3)
    assert transaction.tx_hash == hashlib.sha256(transaction.raw).hexdigest().upper()
    assert hash_of(b"") == "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"


def test_same_transfer_has_the_same_bytes_and_any_other_has_others() -> None:
    """Signing draws no random number; sequence, amount, memo and timeout each make another transaction."""
    one = signer().transfer(RECIPIENT.address, 12, sequence=3)
    assert one == signer().transfer(RECIPIENT.address, 12, sequence=3)
    others = [
        signer().transfer(RECIPIENT.address, 12, sequence=4),
        signer().transfer(RECIPIENT.address, 13, sequence=3),
        signer().transfer(RECIPIENT.address, 12, sequence=3, memo="m"),
        signer().unordered_transfer(RECIPIENT.address, 12, timeout_at_ns=1),
        signer().unordered_transfer(RECIPIENT.address, 12, timeout_at_ns=2),
    ]
    assert len({one.tx_hash, *(other.tx_hash for other in others)}) == 6


# --- fee ---


@pytest.mark.parametrize(
    ("gas", "price", "fee"),
    [
        (120_000, 0.025, 3000),
        (120_001, 0.025, 3001),
        (1, 0.025, 1),
        (100_000, 0.1, 10_000),
        (3, 0.1, 1),
        (10, 0.1, 1),
        (110_000, 0.07, 7700),
        (120_000, 0.0, 0),
        (0, 0.025, 0),
        (1, 1e-7, 1),
        (120_000, 2.51e-8, 1),
        (10_000_000, 1e-7, 1),
        (10_000_001, 1e-7, 2),
    ],
)
def test_fee_is_rounded_up_exactly(gas: int, price: float, fee: int) -> None:
    """The chain takes no less than price times gas, and nobody should pay more for a rounding error."""
    assert ChainIdentity(chain_id="c", denom="uve", gas_price=price).fee(gas) == fee


# --- reading back ---


@pytest.mark.parametrize("amount", [0, 1, 10**6, 2**63, 10**30])
def test_transfer_is_read_back(amount: int) -> None:
    """Sender, recipient, amount and fee, from both kinds."""
    expected = Transfer(sender=SENDER.address, recipient=RECIPIENT.address, amount=amount, fee=3000)
    ordered = signer().transfer(RECIPIENT.address, amount, sequence=9, memo="m")
    assert read_transfer(ordered.raw, "uve") == expected
    assert read_sequence(ordered.raw) == 9
    unordered = signer().unordered_transfer(RECIPIENT.address, amount, timeout_at_ns=1)
    assert read_transfer(unordered.raw, "uve") == expected
    assert read_sequence(unordered.raw) == 0


def test_fee_follows_the_gas() -> None:
    """A signer with more gas offers more."""
    dear = TransferSigner(SENDER, CHAIN, account_number=1, gas=2 * TRANSFER_GAS)
    found = read_transfer(dear.transfer(RECIPIENT.address, 1, sequence=0).raw, "uve")
    assert found is not None
    assert found.fee == 6000
    assert dear.address == SENDER.address


SEND = text_field(1, "ve1a") + text_field(2, "ve1b") + bytes_field(3, coin("uve", 5))
MSG = any_message("/cosmos.bank.v1beta1.MsgSend", SEND)
AUTH = bytes_field(2, bytes_field(1, coin("uve", 7)) + uint_field(2, 1))


def transaction_of(*messages: bytes, auth: bytes = AUTH) -> bytes:
    return bytes_field(1, b"".join(bytes_field(1, message) for message in messages)) + bytes_field(2, auth)


def test_transfer_that_somebody_else_built_is_read() -> None:
    """Fields that are left out are zero: no fee at all is a fee of 0."""
    assert read_transfer(transaction_of(MSG), "uve") == Transfer(sender="ve1a", recipient="ve1b", amount=5, fee=7)
    free = read_transfer(transaction_of(MSG, auth=b""), "uve")
    assert free is not None
    assert free.fee == 0


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        transaction_of(),
        transaction_of(MSG, MSG),
        transaction_of(any_message("/cosmos.bank.v1beta1.MsgMultiSend", SEND)),
        transaction_of(any_message("/cosmos.bank.v1beta1.MsgSend", SEND + bytes_field(3, coin("uve", 5)))),
        transaction_of(any_message("/cosmos.bank.v1beta1.MsgSend", text_field(1, "ve1a"))),
        transaction_of(any_message("/cosmos.bank.v1beta1.MsgSend", bytes_field(3, coin("uatom", 5)))),
        transaction_of(any_message("/cosmos.bank.v1beta1.MsgSend", bytes_field(3, text_field(1, "uve")))),
        transaction_of(any_message("/cosmos.bank.v1beta1.MsgSend", bytes_field(1, b"\xff") + SEND)),
        bytes_field(1, uint_field(1, 5)) + AUTH,
        b"\x0a\xff",
        b"not a transaction",
    ],
)
def test_anything_else_is_no_transfer(raw: bytes) -> None:
    """More than one message or coin, another message or denomination, text that is none, rubbish."""
    assert read_transfer(raw, "uve") is None


@pytest.mark.parametrize("amount", ["", "five", "5.0", "٥", "9" * 5000])
def test_amount_that_is_no_number_is_no_transfer(amount: str) -> None:
    """What the chain cannot have moved is not booked."""
    send = text_field(1, "ve1a") + text_field(2, "ve1b") + bytes_field(3, text_field(1, "uve") + text_field(2, amount))
    assert read_transfer(transaction_of(any_message("/cosmos.bank.v1beta1.MsgSend", send)), "uve") is None
