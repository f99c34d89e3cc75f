"""Debian's nginx with the site that ships, on the tests' own ports, with certificates made for the occasion."""

from __future__ import annotations

import ipaddress
import os
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from . import services

SITE = services.ROOT / "deploy/nginx.conf"
PROXY = services.ROOT / "deploy/portal_proxy.conf"


def make_certificate(folder: Path) -> None:
    """``fullchain.pem`` and ``privkey.pem`` for 127.0.0.1, good for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "fullchain.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def site(folder: Path, *, http: int, https: int, web_servers: tuple[int, ...]) -> str:
    """The site as it ships, but for ports, paths and who may see the desk. Fails if there is nothing to adapt."""
    text = SITE.read_text()
    servers = "".join(f"server 127.0.0.1:{port} fail_timeout=2s; " for port in web_servers)
    for pattern, instead in (
        (r"^ *listen \[::\].*\n", ""),
        (r"listen 80;", f"listen 127.0.0.1:{http};"),
        (r"listen 443 ", f"listen 127.0.0.1:{https} "),
        (r"server 127\.0\.0\.1:8000 fail_timeout=2s;", servers),
        (r"/etc/ssl/portal", str(folder)),
        (r"/var/log/nginx", str(folder)),
        (r"/etc/nginx/portal_proxy\.conf", str(PROXY)),
        (r"/srv/portal/", f"{services.ROOT}/"),
    ):
        text, changes = re.subn(pattern, instead, text, flags=re.MULTILINE)
        assert changes, f"deploy/nginx.conf has no {pattern}"
    return text


def one_alone(folder: Path, *, https: int, web_server: int) -> str:
    """A door to one web server, for a test that must know which one answers."""
    return f"""
    server {{
        listen 127.0.0.1:{https} ssl;
        ssl_certificate {folder}/fullchain.pem;
        ssl_certificate_key {folder}/privkey.pem;
        access_log off;
        location / {{
            proxy_pass http://127.0.0.1:{web_server};
            include {PROXY};
        }}
    }}
    """


def configuration(folder: Path, *sites: str) -> Path:
    """What Debian's own nginx.conf is around a site."""
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    text = f"""
    {user}
    pid {folder}/nginx.pid;
    error_log {folder}/error.log;
    events {{ }}
    http {{
        {temporary}
        access_log off;
        {"".join(sites)}
    }}
    """
    path = folder / "nginx.conf"
    path.write_text(text)
    return path


def command(path: Path) -> list[str]:
    assert services.NGINX, "nginx is missing; `make test` installs it"
    return [services.NGINX, "-p", str(path.parent), "-e", str(path.parent / "error.log"), "-c", str(path)]


def complaints(path: Path) -> str:
    """What ``nginx -t`` says against a configuration."""
    tried = subprocess.run([*command(path), "-t"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 and "[warn]" not in tried.stderr else tried.stderr


def start(path: Path) -> services.Popen:
    """The caller stops it. SIGTERM ends its children too."""
    process = subprocess.Popen(
        services.mortal([*command(path), "-g", "daemon off;"]), stdin=subprocess.DEVNULL, start_new_session=True
    )
    services.wait_for((path.parent / "nginx.pid").exists, process, path.parent / "error.log")
    return process
