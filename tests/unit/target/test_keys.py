"""Account keys, held against published vectors and against addresses that others computed."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata

import pytest
from coincurve import PrivateKey

from target.keys import account_from_secret, derive_accounts
from tests.unit.target.test_address import GENERATOR, GENERATOR_HASH

ABANDON = "abandon " * 11 + "about"

# The accounts of VirtEngine's localnet.
LOCALNET = [
    (ABANDON, "ve19rl4cm2hmr8afy4kldpxz3fka4jguq0aqakfsa"),
    (
        "legal winner thank year wave sausage worth useful legal winner thank yellow",
        "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f",
    ),
    (
        "letter advice cage absurd amount doctor acoustic avoid letter advice cage above",
        "ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq",
    ),
    ("zoo " * 11 + "wrong", "ve1am058pdux3hyulcmfgj4m3hhrlfn8nzmm68nqg"),
]


@pytest.mark.parametrize(("mnemonic", "address"), LOCALNET)
def test_accounts_of_virtengines_localnet(mnemonic: str, address: str) -> None:
    """Validator, alice, bob and charlie."""
    (account,) = derive_accounts(mnemonic, prefix="ve", count=1)
    assert account.address == address
    assert account.index == 0


def test_account_that_the_whole_cosmos_knows() -> None:
    """The first account of the best-known test mnemonic, as every Cosmos wallet shows it."""
    (account,) = derive_accounts(ABANDON, prefix="cosmos", count=1)
    assert account.address == "cosmos19rl4cm2hmr8afy4kldpxz3fka4jguq0auqdal4"


class Bip32:
    """BIP-39 and BIP-32 written down again, step by step, without any shortcut, to hold the other against."""

    ORDER = int("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141", 16)

    def __init__(self, seed: bytes) -> None:
        digest = hmac.new(b"Bitcoin seed", seed, hashlib.sha512).digest()
        self.secret, self.chain_code = digest[:32], digest[32:]

    @staticmethod
    def seed(mnemonic: str, passphrase: str = "") -> bytes:
        return hashlib.pbkdf2_hmac("sha512", mnemonic.encode(), b"mnemonic" + passphrase.encode(), 2048)

    def walk(self, path: str) -> Bip32:
        """Go down a path such as "44'/118'" and return where it leads."""
        for step in path.split("/"):
            index = int(step.rstrip("'"))
            if step.endswith("'"):
                data = b"\0" + self.secret + (index + 2**31).to_bytes(4, "big")
            else:
                data = PrivateKey(self.secret).public_key.format(compressed=True) + index.to_bytes(4, "big")
            digest = hmac.new(self.chain_code, data, hashlib.sha512).digest()
            added = (int.from_bytes(digest[:32], "big") + int.from_bytes(self.secret, "big")) % self.ORDER
            self.secret, self.chain_code = added.to_bytes(32, "big"), digest[32:]
        return self


def private_part(extended: str) -> tuple[bytes, bytes]:
    """Return (secret, chain code) of an `xprv…` text. Raises ValueError when its checksum is wrong."""
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number = 0
    for char in extended:
        number = number * 58 + alphabet.index(char)
    raw = number.to_bytes(82, "big")
    if hashlib.sha256(hashlib.sha256(raw[:-4]).digest()).digest()[:4] != raw[-4:]:
        raise ValueError("checksum")
    return raw[46:78], raw[13:45]


@pytest.mark.parametrize(
    ("path", "extended"),
    [
        (
            "0'",
            "xprv9uHRZZhk6KAJC1avXpDAp4MDc3sQKNxDiPvvkX8Br5ngLNv1TxvUxt4cV1rGL5hj6KCesnDYUhd7oWgT11eZG7XnxHrnYeSvkzY7d2bhkJ7",
        ),
        (
            "0'/1",
            "xprv9wTYmMFdV23N2TdNG573QoEsfRrWKQgWeibmLntzniatZvR9BmLnvSxqu53Kw1UmYPxLgboyZQaXwTCg8MSY3H2EU4pWcQDnRnrVA1xe8fs",
        ),
    ],
)
def test_reference_agrees_with_bip_32_vector_1(path: str, extended: str) -> None:
    """The derivation in this file is right, hardened steps and others."""
    found = Bip32(bytes.fromhex("000102030405060708090a0b0c0d0e0f")).walk(path)
    assert (found.secret, found.chain_code) == private_part(extended)


def test_reference_agrees_with_bip_39_vector_1() -> None:
    """The seed in this file is right, with the passphrase of the vectors and with none."""
    assert Bip32.seed(ABANDON, "TREZOR").hex() == (
        "c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e53495531f09a6987599d18264c1e1c92f2cf141630c7a3c4ab7c81b2f001698e7463b04"
    )
    assert Bip32.seed(ABANDON).hex() == (
        "5eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc19a5ac40b389cd370d086206dec8aa6c43daea6690f20ad3d8d48b2d2ce9e38e4"
    )


@pytest.mark.parametrize("index", [0, 1, 2, 117, 2**31 - 1])
@pytest.mark.parametrize("mnemonic", [ABANDON, "zoo " * 23 + "vote"])
def test_every_account_is_where_the_reference_has_it(mnemonic: str, index: int) -> None:
    """m/44'/118'/0'/0/index: secret, public key and address."""
    (account,) = derive_accounts(mnemonic, prefix="ve", first=index, count=1)
    secret = Bip32(Bip32.seed(mnemonic)).walk(f"44'/118'/0'/0/{index}").secret
    assert account.private_key.secret == secret
    assert account.public_key == PrivateKey(secret).public_key.format(compressed=True)
    assert account == account_from_secret(secret, prefix="ve", index=index)


def test_accounts_follow_each_other() -> None:
    """A range is the accounts of its places, in order, each another."""
    accounts = list(derive_accounts(ABANDON, prefix="ve", first=3, count=4))
    assert [account.index for account in accounts] == [3, 4, 5, 6]
    singles = [next(derive_accounts(ABANDON, prefix="ve", first=index, count=1)) for index in range(3, 7)]
    assert accounts == singles
    assert len({account.address for account in accounts}) == 4
    assert list(derive_accounts(ABANDON, prefix="ve", count=0)) == []


def test_account_of_a_secret() -> None:
    """The private key 1 has the generator for public key."""
    account = account_from_secret(bytes(31) + b"\x01", prefix="ve", index=0)
    assert account.public_key == GENERATOR
    assert account.address[3:-6] == "w508d6qejxtdg4y5r3zarvary0c5xw7k"
    assert GENERATOR_HASH.hex().startswith("751e")


@pytest.mark.parametrize("count", [0, 1, 11, 13, 14, 23, 25])
def test_mnemonic_of_another_length_is_refused(count: int) -> None:
    """BIP-39 has 12, 15, 18, 21 and 24 words."""
    with pytest.raises(ValueError, match=f"has {count} words; expected 12, 15, 18, 21 or 24"):
        list(derive_accounts(" ".join(["abandon"] * count), prefix="ve", count=1))


def test_space_around_words_means_nothing() -> None:
    """As it comes from an environment variable or a file."""
    ragged = "\n  " + "  abandon\t" * 11 + " about \n"
    assert next(derive_accounts(ragged, prefix="ve", count=1)).address == LOCALNET[0][1]


def test_accents_may_be_composed_or_not() -> None:
    """BIP-39 has the words in normal form D, however they were typed: the Spanish list has accents."""
    words = "ábaco " * 12
    composed, apart = (unicodedata.normalize(form, words) for form in ("NFC", "NFD"))
    assert composed != apart
    assert list(derive_accounts(composed, prefix="ve", count=1)) == list(derive_accounts(apart, prefix="ve", count=1))
    reference = Bip32(Bip32.seed(apart.strip())).walk("44'/118'/0'/0/0").secret
    assert next(derive_accounts(composed, prefix="ve", count=1)).private_key.secret == reference


def test_secret_does_not_show() -> None:
    """Neither in a repr nor in the message of a failed assertion."""
    account = next(derive_accounts(ABANDON, prefix="ve", count=1))
    assert account.private_key.secret.hex() not in repr(account)
    assert "PrivateKey" not in repr(account)
