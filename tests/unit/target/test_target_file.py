"""Target files: what a person writes, what it resolves to, and every sentence about what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from bundle import DocumentError
from target.file import (
    AccountsEntry,
    ApiEntry,
    ControlKind,
    Environment,
    NodeEntry,
    PortalAuth,
    ProviderEntry,
    TargetFile,
    read_target_file,
    target_toml,
)
from target.target import Api, Node, Target, check_addresses, load_target, resolve

MNEMONIC = "abandon " * 11 + "about"
SMALL = 'name = "t"\nenvironment = "dev"\nchain_id = "c-1"\n[[node]]\nname = "n"\nhost = "h"\n'


def load(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Target:
    path = folder / "target.toml"
    path.write_text(text, encoding="utf-8")
    return load_target(path, environ=environ or {})


def problems_of(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return all that is wrong with a Target file, without the source."""
    with pytest.raises(DocumentError) as caught:
        load(folder, text, environ)
    source = f"{folder / 'target.toml'}: "
    lines = str(caught.value).splitlines()
    assert all(line.startswith(source) for line in lines)
    return [line.removeprefix(source) for line in lines]


# --- what a file resolves to ---


def test_host_stands_for_the_standard_ports(tmp_path: Path) -> None:
    """RPC 26657, REST 1317, gRPC 9090, metrics 26660."""
    (node,) = load(tmp_path, SMALL).nodes
    assert node == Node(
        name="n",
        rpc_url="http://h:26657",
        rest_url="http://h:1317",
        grpc_address="h:9090",
        metrics_url="http://h:26660",
    )


def test_address_goes_before_the_host(tmp_path: Path) -> None:
    """Each by itself, the others from the host; a final slash is dropped."""
    (node,) = load(tmp_path, SMALL + 'rpc = "https://rpc.example/"\ngrpc = "g.example:443"\n').nodes
    assert (node.rpc_url, node.rest_url, node.grpc_address) == ("https://rpc.example", "http://h:1317", "g.example:443")


def test_node_without_host_has_what_is_written(tmp_path: Path) -> None:
    """An address that nobody wrote is not served."""
    (node,) = load(tmp_path, SMALL.replace('host = "h"', 'rpc = "http://h:1"')).nodes
    assert node == Node(name="n", rpc_url="http://h:1", rest_url=None, grpc_address=None, metrics_url=None)


def test_defaults_are_those_of_virtengine(tmp_path: Path) -> None:
    """A short file is a whole target."""
    target = load(tmp_path, SMALL)
    assert (target.chain.chain_id, target.chain.denom, target.chain.gas_price) == ("c-1", "uve", 0.025)
    assert (target.bech32_prefix, target.block_time_s) == ("ve", 1.3)
    assert (target.control, target.control_socket, target.accounts) == (ControlKind.NONE, None, None)
    assert target.environment is Environment.DEV


def test_nodes_are_the_api_unless_there_is_a_gateway(tmp_path: Path) -> None:
    """Nodes with REST or gRPC, or the gateways alone."""
    second = '[[node]]\nname = "m"\nrpc = "http://m:1"\n'
    target = load(tmp_path, SMALL + second)
    assert target.apis == (Api(name="n", rest_url="http://h:1317", grpc_address="h:9090"),)
    gateway = '[[api]]\nname = "g"\nrest = "https://api.example"\n'
    target = load(tmp_path, SMALL + gateway)
    assert target.apis == (Api(name="g", rest_url="https://api.example", grpc_address=None),)


def test_node_is_found_by_name(tmp_path: Path) -> None:
    """Or the error tells which there are."""
    target = load(tmp_path, SMALL)
    assert target.node("n") is target.nodes[0]
    with pytest.raises(KeyError, match="'x' is no node of t; expected one of n"):
        target.node("x")


def test_secrets_come_from_the_environment(tmp_path: Path) -> None:
    """HMAC secret and mnemonic by the names of their variables; neither shows in a repr."""
    text = SMALL + (
        '[[provider]]\nname = "p"\nurl = "http://p:8080/"\nauth = "hmac"\nsecret_env = "S"\nprincipal = "me"\n'
        '[accounts]\nmnemonic_env = "M"\nfirst = 2\ncount = 3\n'
    )
    target = load(tmp_path, text, {"S": "s3cret", "M": MNEMONIC})
    (provider,) = target.providers
    assert (provider.url, provider.auth, provider.principal) == ("http://p:8080", PortalAuth.HMAC, "me")
    assert provider.secret == "s3cret"
    assert target.accounts is not None
    assert target.accounts.mnemonic == MNEMONIC
    assert "s3cret" not in repr(target)
    assert "abandon" not in repr(target)


def test_accounts_are_derived_as_asked(tmp_path: Path) -> None:
    """From the first on, as many as there are, and the wallet of a provider is the first of them."""
    text = SMALL + f'[[provider]]\nname = "p"\nurl = "http://p"\nauth = "wallet"\n[accounts]\nmnemonic = "{MNEMONIC}"\n'
    target = load(tmp_path, text + "first = 2\ncount = 3\n")
    assert target.accounts is not None
    accounts = target.accounts.derive()
    assert [account.index for account in accounts] == [2, 3, 4]
    assert target.accounts.derive(2) == accounts[:2]
    assert target.accounts.derive(9) == accounts
    assert [target.accounts.key(place) for place in range(3)] == accounts
    assert target.providers[0].wallet == accounts[0]


def test_control_socket_is_a_path(tmp_path: Path) -> None:
    """Of a devnet."""
    target = load(tmp_path, 'control = "devnet"\ncontrol_socket = "/run/x.sock"\n' + SMALL)
    assert (target.control, target.control_socket) == (ControlKind.DEVNET, Path("/run/x.sock"))


def test_environment_of_the_process_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing else is given."""
    monkeypatch.setenv("TEST_MNEMONIC_OF_THE_HARNESS", MNEMONIC)
    path = tmp_path / "target.toml"
    path.write_text(SMALL + '[accounts]\nmnemonic_env = "TEST_MNEMONIC_OF_THE_HARNESS"\ncount = 1\n')
    accounts = load_target(path).accounts
    assert accounts is not None
    assert accounts.mnemonic == MNEMONIC


# --- what is wrong ---

PROVIDER = '[[provider]]\nname = "p"\nurl = "http://p"\n'
VARIABLE = "expected text of the form ^[A-Za-z_][A-Za-z0-9_]*$"
TOO_SHORT = "expected at least 1 character(s)"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # contradictions
        (SMALL.replace('host = "h"', ""), "node[0] has neither host nor rpc; expected one of them"),
        (
            SMALL + PROVIDER + 'auth = "hmac"\n',
            'provider[0] auth is "hmac" and secret_env is None; expected secret_env with "hmac" and only there',
        ),
        (
            SMALL + PROVIDER + 'secret_env = "S"\n',
            'provider[0] auth is "insecure" and secret_env is \'S\'; expected secret_env with "hmac" and only there',
        ),
        (
            SMALL + PROVIDER + 'auth = "wallet"\n',
            'provider[0].auth is "wallet" without [accounts]; expected [accounts], whose first account signs',
        ),
        (
            SMALL + "[accounts]\ncount = 1\n",
            "accounts has both or neither of mnemonic and mnemonic_env; expected exactly one",
        ),
        (
            SMALL + f'[accounts]\ncount = 1\nmnemonic = "{MNEMONIC}"\nmnemonic_env = "M"\n',
            "accounts has both or neither of mnemonic and mnemonic_env; expected exactly one",
        ),
        (
            'control = "devnet"\n' + SMALL,
            'control is "devnet" and control_socket is None; expected control_socket with "devnet" and only there',
        ),
        (
            'control_socket = "/s"\n' + SMALL,
            'control is "none" and control_socket is \'/s\'; expected control_socket with "devnet" and only there',
        ),
        (
            SMALL + '[[api]]\nname = "n"\nrest = "http://a"\n',
            "uses the name 'n' twice; expected each node, provider and api once",
        ),
        # secrets
        (
            SMALL + '[accounts]\ncount = 1\nmnemonic_env = "M"\n',
            "accounts.mnemonic_env names the variable M, which is not set;"
            " expected an environment variable that is set",
        ),
        (
            SMALL + PROVIDER + 'auth = "hmac"\nsecret_env = "S"\n',
            "provider[0].secret_env names the variable S, which is not set;"
            " expected an environment variable that is set",
        ),
        (
            SMALL + '[accounts]\ncount = 1\nmnemonic = "one two"\n',
            "accounts.mnemonic gives 2 words; expected 12, 15, 18, 21 or 24 words",
        ),
        # empty texts
        (SMALL.replace('"h"', '""'), f"node[0].host is ''; {TOO_SHORT}"),
        (SMALL.replace('host = "h"', 'rpc = ""'), f"node[0].rpc is ''; {TOO_SHORT}"),
        (SMALL + 'grpc = ""\n', f"node[0].grpc is ''; {TOO_SHORT}"),
        (SMALL + PROVIDER + 'auth = "hmac"\nsecret_env = ""\n', f"provider[0].secret_env is ''; {VARIABLE}"),
        (SMALL + '[accounts]\ncount = 1\nmnemonic = ""\n', f"accounts.mnemonic is ''; {TOO_SHORT}"),
        (SMALL + '[accounts]\ncount = 1\nmnemonic_env = ""\n', f"accounts.mnemonic_env is ''; {VARIABLE}"),
        ('control = "devnet"\ncontrol_socket = ""\n' + SMALL, f"control_socket is ''; {TOO_SHORT}"),
        # numbers and forms
        (
            SMALL + '[accounts]\ncount = 1\nmnemonic_env = "two\\nlines"\n',
            f"accounts.mnemonic_env is 'two\\nlines'; {VARIABLE}",
        ),
        ("gas_price = -0.1\n" + SMALL, "gas_price is -0.1; expected at least 0.0"),
        ("block_time_s = 0\n" + SMALL, "block_time_s is 0; expected more than 0.0"),
        ('genesis_hash = "abc"\n' + SMALL, "genesis_hash is 'abc'; expected text of the form ^[0-9a-f]{64}$"),
        (SMALL.replace('"dev"', '"prod"'), "environment is 'prod'; expected 'dev', 'staging' or 'production'"),
        (
            SMALL + f'[accounts]\nmnemonic = "{MNEMONIC}"\ncount = 0\n',
            "accounts.count is 0; expected more than 0",
        ),
        (
            SMALL + f'[accounts]\nmnemonic = "{MNEMONIC}"\ncount = 1\nfirst = 2147483648\n',
            "accounts.first is 2147483648; expected at most 2147483647",
        ),
        (
            SMALL + f'[accounts]\nmnemonic = "{MNEMONIC}"\ncount = 2\nfirst = 2147483647\n',
            "accounts ends at place 2147483648 of the path; expected 2147483647 at most",
        ),
    ],
)
def test_each_mistake_is_told_in_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    """Where, what is, what is expected."""
    assert problems_of(tmp_path, text) == [told]


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_mnemonic_is_written_out_in_dev_only(tmp_path: Path, environment: str) -> None:
    """A file is shared and kept; money is only where nobody shares its words."""
    text = SMALL.replace('"dev"', f'"{environment}"')
    told = problems_of(tmp_path, text + f'[accounts]\nmnemonic = "{MNEMONIC}"\ncount = 1\n')
    assert told == [
        f'accounts.mnemonic is written out and environment is "{environment}"; expected accounts.mnemonic_env'
    ]
    assert "abandon" not in told[0]
    target = load(tmp_path, text + '[accounts]\nmnemonic_env = "M"\ncount = 1\n', {"M": MNEMONIC})
    assert target.accounts is not None


@pytest.mark.parametrize(
    "url",
    [
        "h:26657",
        "tcp://h:26657",
        "http://",
        "http://:80",
        "http://h:0",
        "http://h:99999",
        "http://h:-1",
        "http://h:port",
        "http://h h:1",
        "http://h\\u0001:1",
        "http://[::1:80",
        "ftp://h",
        "//h",
        " http://h",
    ],
)
def test_url_that_is_none_is_told(tmp_path: Path, url: str) -> None:
    """In the words of the person who wrote it."""
    (told,) = problems_of(tmp_path, SMALL.replace('host = "h"', f'rpc = "{url}"'))
    assert told.startswith("node[0].rpc is ")
    assert told.endswith("; expected an address like http://host:port")


@pytest.mark.parametrize(
    "url", ["http://h", "https://h:1/path", "http://[::1]:80", "http://127.0.0.1:26657", "HTTP://H"]
)
def test_url_in_its_other_forms_is_taken(tmp_path: Path, url: str) -> None:
    """With or without port and path, by name or number."""
    (node,) = load(tmp_path, SMALL.replace('host = "h"', f'rpc = "{url}"')).nodes
    assert node.rpc_url == url


@pytest.mark.parametrize(
    "address",
    [
        "h",
        ":9090",
        "h:",
        "h:x",
        "h:0",
        "h:65536",
        "h:-1",
        "h:²",
        "h:٣",
        "h:" + "1" * 5000,
        "http://h:1",
        "h h:1",
        "h:1 ",
    ],
)
def test_grpc_address_that_is_none_is_told(tmp_path: Path, address: str) -> None:
    """Host and port, and nothing that only looks like them."""
    (told,) = problems_of(tmp_path, SMALL + f'grpc = "{address}"\n')
    assert told.startswith("node[0].grpc is ")
    assert told.endswith("; expected an address like host:port")


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    """Addresses and secrets of all entries in one answer."""
    text = (
        SMALL.replace('host = "h"', 'rpc = "x"\ngrpc = "y"')
        + '[[provider]]\nname = "p"\nurl = "z"\nauth = "hmac"\nsecret_env = "S"\n'
        + '[[api]]\nname = "a"\nrest = "r"\ngrpc = "g"\n'
        + '[accounts]\nmnemonic_env = "M"\ncount = 1\n'
    )
    told = problems_of(tmp_path, text)
    places = {line.split(" ", 1)[0] for line in told}
    assert places == {
        "node[0].rpc",
        "node[0].grpc",
        "provider[0].url",
        "provider[0].secret_env",
        "api[0].rest",
        "api[0].grpc",
        "accounts.mnemonic_env",
    }
    assert len(told) == 7


# --- writing ---

FULL = TargetFile(
    name="full",
    environment=Environment.DEV,
    chain_id='c "1" \\ \U0001f600 \x7f é\n',
    genesis_hash="0" * 64,
    control=ControlKind.DEVNET,
    control_socket="/run/x.sock",
    gas_price=1e-07,
    block_time_s=1e16,
    node=(NodeEntry(name="a", host="h"), NodeEntry(name="b", rpc="http://b:1", metrics="http://b:2")),
    provider=(ProviderEntry(name="p", url="http://p", auth=PortalAuth.HMAC, secret_env="S"),),
    api=(ApiEntry(name="g", rest="http://g"),),
    accounts=AccountsEntry(mnemonic=MNEMONIC, first=1, count=2),
)


def test_file_that_was_written_is_read_again(tmp_path: Path) -> None:
    """Every field, whatever its text."""
    path = tmp_path / "target.toml"
    path.write_text(target_toml(FULL, with_secrets=True), encoding="utf-8")
    assert read_target_file(path) == FULL


def test_file_without_secrets_has_no_mnemonic(tmp_path: Path) -> None:
    """It says that one was left out, and all else is the same."""
    text = target_toml(FULL, with_secrets=False)
    assert "abandon" not in text
    path = tmp_path / "target.toml"
    path.write_text(text, encoding="utf-8")
    back = read_target_file(path)
    assert back.accounts == AccountsEntry(mnemonic_env="LEFT_OUT_OF_THE_BUNDLE", first=1, count=2)
    assert (back.node, back.provider, back.api) == (FULL.node, FULL.provider, FULL.api)


def test_name_of_a_variable_is_no_secret() -> None:
    """It stays in the bundle, so that a reader knows where the accounts came from."""
    file = TargetFile(
        name="t",
        environment=Environment.PRODUCTION,
        chain_id="c",
        node=(NodeEntry(name="n", host="h"),),
        accounts=AccountsEntry(mnemonic_env="LOAD_MNEMONIC", count=1),
    )
    assert target_toml(file, with_secrets=False) == target_toml(file, with_secrets=True)
    assert 'mnemonic_env = "LOAD_MNEMONIC"' in target_toml(file, with_secrets=False)
    with pytest.raises(DocumentError, match="LOAD_MNEMONIC, which is not set"):
        resolve(file, source="t", environ={})


@pytest.mark.parametrize("host", ["a/b", "a b", "a@b", "h:80", "a?b", "é", "h\\n", "[::1"])
def test_host_that_is_none_is_told_once(tmp_path: Path, host: str) -> None:
    """Not once for each address that is made of it."""
    (told,) = problems_of(tmp_path, SMALL.replace('"h"', f'"{host}"'))
    assert told.startswith("node[0].host is '")
    assert told.endswith("; expected the name or the address of a host")


@pytest.mark.parametrize("host", ["127.0.0.1", "node-0.example.com", "node_0", "[::1]"])
def test_host_in_its_other_forms_is_taken(tmp_path: Path, host: str) -> None:
    """By name or number."""
    (node,) = load(tmp_path, SMALL.replace('"h"', f'"{host}"')).nodes
    assert (node.rpc_url, node.grpc_address) == (f"http://{host}:26657", f"{host}:9090")


def test_addresses_are_checked_without_secrets(tmp_path: Path) -> None:
    """Where the secrets are not known, all else is."""
    path = tmp_path / "target.toml"
    secret = '[[provider]]\nname = "p"\nurl = "http://p"\nauth = "{}"\n[accounts]\nmnemonic_env = "M"\ncount = 1\n'
    for auth in ("wallet", 'hmac"\nsecret_env = "S'):
        path.write_text(SMALL + secret.format(auth))
        check_addresses(read_target_file(path), source=str(path))
    path.write_text(SMALL.replace('host = "h"', 'rpc = "x"') + secret.format("wallet"))
    with pytest.raises(DocumentError) as caught:
        check_addresses(read_target_file(path), source="here")
    assert str(caught.value) == "here: node[0].rpc is 'x'; expected an address like http://host:port"
