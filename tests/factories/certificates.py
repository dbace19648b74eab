"""Real certificates, made by openssl."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def make_certificates(folder: Path) -> Path:
    """`ca` and `other-ca`; signed by the first: `here` for localhost, `there` for another host, `old` that expired."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    (folder / "signing.cnf").write_text(
        "[ca]\ndefault_ca=it\n[it]\ndatabase=index\nserial=serial\nnew_certs_dir=.\npolicy=any\ndefault_md=sha256\n"
        "[any]\ncommonName=supplied\n[here]\nsubjectAltName=DNS:localhost\n[there]\nsubjectAltName=DNS:broker.example\n",
        encoding="utf-8",
    )
    (folder / "index").touch()
    (folder / "serial").write_text("01\n", encoding="utf-8")
    (folder / "index.attr").write_text("unique_subject = no\n", encoding="utf-8")
    for name in ("ca", "other-ca"):
        extension = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        _openssl(
            folder, "req", "-x509", *CURVE, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}",
            *extension,
        )  # fmt: skip
    for name, host, end in (
        ("here", "localhost", "2080"),
        ("there", "broker.example", "2080"),
        ("old", "localhost", "2021"),
    ):
        _openssl(folder, "req", *CURVE, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={host}")
        _openssl(
            folder, "ca", "-batch", "-config", "signing.cnf", "-cert", "ca.pem", "-keyfile", "ca.key",
            "-in", f"{name}.csr", "-out", f"{name}.pem", "-startdate", "20200101000000Z",
            "-enddate", f"{end}0101000000Z", "-extensions", "there" if name == "there" else "here",
        )  # fmt: skip
    return folder


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
