"""TLS: pairs that work, and every one that does not, told in one line before anything is served."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path
from typing import Any

import openai
import pytest
import trustme

from tests.serve.door.served import api, at_the_door
from windtunnel.errors import InvalidInputError
from windtunnel.serve.door.door import Door
from windtunnel.serve.door.keys import Key, digest
from windtunnel.serve.door.tls import tls_of

KEY = "wt-a-key-that-travels-encrypted"


def pair(folder: Path, name: str, ends: datetime.datetime | None = None) -> tuple[Path, Path, trustme.CA]:
    """A certificate for localhost, its key, and whoever signed it."""
    ca = trustme.CA()
    made = ca.issue_cert("localhost", "127.0.0.1", not_after=ends)
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    return certificate, key, ca


def in_days(days: float) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)


def test_the_official_client_asks_over_tls(tmp_path: Path) -> None:
    certificate, key, ca = pair(tmp_path, "good", in_days(365))
    tls, remark = tls_of(certificate, key)
    assert remark == ""
    trusting = ssl.create_default_context()
    ca.configure_trust(trusting)
    assert tls.minimum_version == ssl.TLSVersion.TLSv1_2

    async def body(port: int) -> None:
        client: Any = openai.AsyncOpenAI(
            base_url=f"https://localhost:{port}/v1",
            api_key=KEY,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(verify=trusting),
        )
        async with client:
            stream = await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "a"}], max_tokens=3, stream=True
            )
            text = "".join([event.choices[0].delta.content async for event in stream])
            assert text == "word word word "
        _, writer = await asyncio.open_connection("localhost", port, ssl=trusting)
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        writer.close()

    at_the_door(api, Door([Key("one", digest(KEY))], tls=tls), body)


def test_a_certificate_that_ends_soon_is_told(tmp_path: Path) -> None:
    certificate, key, _ = pair(tmp_path, "soon", in_days(3.2))
    assert tls_of(certificate, key)[1] == f"{certificate} ends in 3 days"


def test_pairs_that_do_not_work(tmp_path: Path) -> None:
    certificate, key, _ = pair(tmp_path, "good", in_days(365))
    _, another, _ = pair(tmp_path, "other", in_days(365))
    ended, its_key, _ = pair(tmp_path, "ended", in_days(-1))
    text, nonsense = tmp_path / "text", tmp_path / "nonsense"
    text.write_text("not a certificate")
    nonsense.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for files, told in [
        ((certificate, tmp_path / "none"), "--tls-key: .*none cannot be read: No such file or directory"),
        ((tmp_path, key), "--tls-cert: .* cannot be read: Is a directory"),
        ((text, key), "--tls-cert: .*text is not PEM"),
        ((key, key), r"--tls-cert: .*good\.key holds no certificate"),
        ((nonsense, key), "--tls-cert: .*nonsense and .* cannot be used: "),
        ((certificate, certificate), r"--tls-cert: .*good\.pem and .*good\.pem cannot be used: "),
        ((certificate, another), r"--tls-key: .*other\.key is not the key of .*good\.pem"),
        ((ended, its_key), r"--tls-cert: .*ended\.pem: certificate has expired"),
    ]:
        with pytest.raises(InvalidInputError, match=told) as error:
            tls_of(*files)
        assert "\n" not in str(error.value)


def test_an_encrypted_key_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    certificate, key, _ = pair(tmp_path, "good", in_days(365))
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    form, encoding = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
    key.write_bytes(private.private_bytes(encoding, form, encryption))
    with pytest.raises(InvalidInputError, match=r"--tls-key: .*good\.key is encrypted; give one that is not"):
        tls_of(certificate, key)
