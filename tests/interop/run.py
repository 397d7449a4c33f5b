"""Microsoft's client libraries, unmodified, against the emulator: every client and grant is a named
check. Called by scripts/interop, in the virtual environment that it makes."""

import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from emulator import Emulator, sign_in_server

HERE = pathlib.Path(__file__).parent
TENANT = "c0a70500-0000-4000-8000-000000000001"
API, UI = "a9100000-0000-4000-8000-00000000000a", "b1e00000-0000-4000-8000-00000000000b"
ISSUER, SUBJECT = "https://issuer.example/cluster", "system:serviceaccount:shop:api"
# A client whose checks take longer waits for something that never comes.
TIMEOUT = 120


def key_and_certificate():
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "interop")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key_pem = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key, key_pem, certificate.public_bytes(pem)


def credentials(emulator, folder):
    """Registers a certificate and a federated credential for both applications; files of them."""
    key, key_pem, certificate_pem = key_and_certificate()
    issuer = rsa.generate_private_key(65537, 2048)
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(issuer.public_key()))
    now = datetime.datetime.now(datetime.timezone.utc)
    claims = {
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": "api://AzureADTokenExchange",
        "iat": now,
        "exp": now + datetime.timedelta(hours=1),
    }
    federated = jwt.encode(claims, issuer, "RS256", headers={"kid": "interop"})
    for app in (API, UI):
        emulator.control(
            "POST", f"/applications/{app}/certificates", {"pem": certificate_pem.decode()}
        )
        emulator.control(
            "PUT",
            f"/applications/{app}/federated-credentials/interop",
            {"issuer": ISSUER, "subject": SUBJECT, "jwks": {"keys": [jwk | {"kid": "interop"}]}},
        )
    files = {}
    for name, content in {
        "key_file": key_pem,
        "certificate_file": certificate_pem,
        "pem_file": key_pem + certificate_pem,
        "federated_file": federated.encode(),
    }.items():
        path = folder / name
        path.write_bytes(content)
        files[name] = str(path)
    return files


def run(command, environment, emulator, results):
    """Runs a client's checks; the token requests of each are kept beside its result."""
    process = subprocess.Popen(
        command,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    seen = len(emulator.token_requests())
    watch = threading.Timer(TIMEOUT, process.kill)
    watch.start()
    try:
        for line in process.stdout:
            result = json.loads(line)
            requests = emulator.token_requests()
            result["requests"], seen = requests[seen:], len(requests)
            results.append(result)
            process.stdin.write("\n")
            process.stdin.flush()
        code = process.wait()
    finally:
        watch.cancel()
        process.kill()
    if code != 0:
        raise SystemExit(f"{command[-1]} ended with {code} after {results[-1:]}")


def table(results):
    rows = [(r["client"], r["grant"], r["credential"], (r["error"] or "ok").splitlines()[0]) for r in results]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)), row[3])


def main(binary, node_folder):
    results = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        emulator = Emulator(binary, folder / "ca.pem")
        try:
            server = sign_in_server(emulator)
            settings = credentials(emulator, folder) | {
                "https": emulator.https,
                "arm": emulator.arm,
                "tenant": TENANT,
                "api": API,
                "api_secret": "emulator-api-secret",
                "ui": UI,
                "ui_secret": "emulator-ui-secret",
                "alice": "a11ce000-0000-4000-8000-000000000011",
                "redirect_uri": "http://localhost:8000/account/callback",
                "sign_in": f"http://127.0.0.1:{server.server_port}",
                "assertion": emulator.user_token(),
                "grace": emulator.control("POST", "/token", {"user": "grace"})["token"],
                "unconsented": emulator.control(
                    "POST", "/token", {"user": "bob", "consent": False}
                )["token"],
            }
            environment = {"INTEROP": json.dumps(settings)}
            clients = [
                ([sys.executable, str(HERE / "python_clients.py")], "REQUESTS_CA_BUNDLE"),
                (["node", str(pathlib.Path(node_folder) / "node_clients.mjs")], "NODE_EXTRA_CA_CERTS"),
            ]
            for command, trust in clients:
                run(command, environment | {trust: emulator.ca_file}, emulator, results)
        finally:
            emulator.stop()
    table(results)
    failed = [result for result in results if result["error"]]
    print(f"\n{len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
