"""Keys: made, read, told apart; and every mistake in their file named."""

from __future__ import annotations

import hashlib
import hmac
import tomllib
from pathlib import Path

import pytest

from windtunnel.errors import WindtunnelError
from windtunnel.serve.door.keys import Key, all_keys, digest, find, keys_of, new_key, read_keys
from windtunnel.serve.door.limits import Limits

HASH = "ab" * 32


def test_a_new_key_opens_what_its_table_says_and_is_not_in_it(tmp_path: Path) -> None:
    key, table = new_key("ci")
    assert len(key) == 3 + 43  # wt- and 256 bits in base64
    assert key not in table
    file = tmp_path / "keys.toml"
    file.write_text(f"{table}requests_per_min = 60\ntokens_per_day = 1_000\nadmin = true\n")
    (read,) = read_keys(file)
    assert read == Key("ci", hashlib.sha256(key.encode()).digest(), Limits(60, None, 1000, None), admin=True)
    assert find([read], key) is read
    assert find([read], key[:-1]) is None
    assert find([read], "") is None
    assert find([read], "\udcff") is None
    assert new_key("ci")[0] != key


def test_all_keys_are_compared_in_constant_time_whichever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [Key(str(i), digest(f"key number {i}")) for i in range(5)]
    seen: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        seen.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    for given in ("key number 0", "key number 4", "another"):
        seen.clear()
        found = find(keys, given)
        assert (found.name if found else None) == {"key number 0": "0", "key number 4": "4"}.get(given)
        assert seen == [(key.sha256, digest(given)) for key in keys]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no [[key]]; `windtunnel serve --new-key NAME` makes one"),
        ("[[key", "is not TOML"),
        ("[fleet]\n", "[fleet] is not a table of keys; they are written [[key]]"),
        ("[key]\nname = 'a'\n", "keys are tables: [[key]]"),
        (f"[[key]]\nsha256 = '{HASH}'\n", "[[key]] 1: name has to be"),
        (f"[[key]]\nname = 'a b'\nsha256 = '{HASH}'\n", "[[key]] 1: name has to be"),
        ("[[key]]\nname = 'a'\n", "'a' needs either sha256 or env"),
        (f"[[key]]\nname = 'a'\nenv = 'X'\nsha256 = '{HASH}'\n", "'a' needs either sha256 or env"),
        ("[[key]]\nname = 'a'\nsha256 = 'wt-secret'\n", "sha256 of 'a' has to be 64 hexadecimal digits"),
        ("[[key]]\nname = 'a'\nenv = 'NO_SUCH_VARIABLE'\n", "the variable NO_SUCH_VARIABLE is not set"),
        ("[[key]]\nname = 'a'\nenv = 'SHORT'\n", "the key in SHORT needs 16 or more ASCII characters"),
        (f"[[key]]\nname = 'a'\nsha256 = '{HASH}'\nrequest_per_min = 3\n", "'request_per_min'; nearest: requests_per_min"),
        (f"[[key]]\nname = 'a'\nsha256 = '{HASH}'\ntokens_per_min = 0\n", "tokens_per_min of 'a' has to be a whole number"),
        (f"[[key]]\nname = 'a'\nsha256 = '{HASH}'\ntokens_per_min = true\n", "tokens_per_min of 'a' has to be a whole number"),
        (f"[[key]]\nname = 'a'\nsha256 = '{HASH}'\nadmin = 1\n", "admin of 'a' has to be true or false"),
        (f"[[key]]\nname = 'a'\nsha256 = '{HASH}'\n" * 2, "two keys are called 'a'"),
        (f"[[key]]\nname = 'a'\nsha256 = '{HASH}'\n[[key]]\nname = 'b'\nsha256 = '{HASH}'\n", "'a' and 'b' are the same key"),
    ],
)
def test_mistakes_in_the_file_are_named(text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT", "secret")
    file = tmp_path / "keys.toml"
    file.write_text(text)
    with pytest.raises(WindtunnelError) as error:
        read_keys(file)
    assert said in str(error.value)
    assert "secret" not in str(error.value).replace("wt-secret", "")


def test_keys_of_the_environment_and_of_files_go_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINDTUNNEL_API_KEY", "0123456789abcdef")
    monkeypatch.setenv("TEAM", "fedcba9876543210")
    file = tmp_path / "keys.toml"
    file.write_text(new_key("file")[1])
    tables = tomllib.loads("[[key]]\nname = 'team'\nenv = 'TEAM'\n")["key"]
    assert [(key.name, key.admin) for key in all_keys(file, tables, "fleet.toml")] == [
        ("file", False),
        ("team", False),
        ("default", True),
    ]
    monkeypatch.setenv("TEAM", "0123456789abcdef")
    with pytest.raises(WindtunnelError, match="'team' and 'default' have the same name or are the same key"):
        all_keys(file, tables, "fleet.toml")
    monkeypatch.setenv("WINDTUNNEL_API_KEY", "a key with spaces")
    with pytest.raises(WindtunnelError, match="the key in WINDTUNNEL_API_KEY needs 16 or more ASCII characters, no spaces"):
        all_keys(None, None, "")


def test_no_tables_no_keys() -> None:
    assert keys_of(None, "fleet.toml") == ()


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(WindtunnelError, match=r"nowhere\.toml cannot be read: No such file"):
        read_keys(Path("nowhere.toml"))
