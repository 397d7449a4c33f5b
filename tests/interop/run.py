"""Microsoft's client libraries, unmodified, and the gateway against the emulator: every client and grant is
a named check, and their token requests are compared. Called by scripts/interop, in the virtual environment
that it makes."""

import base64
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
from importlib import metadata

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12

import compare
from emulator import Emulator, sign_in_server
from fields import Facts
from identity_endpoint import HEADER, IDENTITY, IdentityEndpoint

HERE = pathlib.Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "interop.md"
TENANT = "c0a70500-0000-4000-8000-000000000001"
API, UI = "a9100000-0000-4000-8000-00000000000a", "b1e00000-0000-4000-8000-00000000000b"
API_SECRET, UI_SECRET = "emulator-api-secret", "emulator-ui-secret"
# Of the files with a private key that have one.
PASSWORD = "pass word/+:"
ENCRYPTION = serialization.BestAvailableEncryption(PASSWORD.encode())
ISSUER, SUBJECT = "https://issuer.example/cluster", "system:serviceaccount:shop:api"
# What Resource Manager challenges with when a session was revoked.
CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}'
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
    return key, key_pem, certificate


def credentials(emulator, folder):
    """Registers a certificate and a federated credential for both applications; files of them."""
    key, key_pem, certificate = key_and_certificate()
    certificate_pem = certificate.public_bytes(serialization.Encoding.PEM)
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
        "secret_file": API_SECRET.encode(),
        "ui_secret_file": UI_SECRET.encode(),
        # With a password: as Windows and Key Vault keep it, and as OpenSSL does.
        "pfx_file": pkcs12.serialize_key_and_certificates(b"api", key, certificate, None, ENCRYPTION),
        "encrypted_pem_file": key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, ENCRYPTION
        )
        + certificate_pem,
        "password_file": PASSWORD.encode(),
    }.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        files[name] = str(path)
    return files | {"federated": federated}


def environments(emulator, files):
    """What AZURE_* variables tell of the web app, by the credential."""
    common = {
        "AZURE_AUTHORITY_HOST": emulator.https,
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": UI,
    }
    path, password = "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_CLIENT_CERTIFICATE_PASSWORD"
    return {
        credential: common | variables
        for credential, variables in {
            "secret": {"AZURE_CLIENT_SECRET": UI_SECRET},
            "certificate": {path: files["pem_file"]},
            "certificate with its chain": {
                path: files["pem_file"],
                "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN": "true",
            },
            "certificate with a password": {path: files["encrypted_pem_file"], password: PASSWORD},
            "PFX file": {path: files["pfx_file"], password: PASSWORD},
            "federated": {"AZURE_FEDERATED_TOKEN_FILE": files["federated_file"]},
        }.items()
    }


def run(command, environment, emulator, identities, results):
    """Runs a client's checks; the token requests of each are kept beside its result: those to the platform
    where it asked for a managed identity's token, else those to the emulator."""
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
            result["requests"] = identities.taken() or result["requests"]
            result["received"] = time.time()
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


def thumbprints(certificate_file):
    """What header fields of an assertion say of the certificate."""
    certificate = x509.load_pem_x509_certificate(pathlib.Path(certificate_file).read_bytes())
    der = certificate.public_bytes(serialization.Encoding.DER)
    encoded = lambda bytes: base64.urlsafe_b64encode(bytes).decode().rstrip("=")
    return {
        "SHA-256 of the certificate": encoded(certificate.fingerprint(hashes.SHA256())),
        "SHA-1 of the certificate": encoded(certificate.fingerprint(hashes.SHA1())),
        "certificate": base64.b64encode(der).decode(),
    }


def versions(node_folder):
    node = json.loads((node_folder / "package.json").read_text())["dependencies"]
    python = {
        "msal-python": "msal",
        "azure-identity (Python)": "azure-identity",
        "azure-identity (Python, asyncio)": "azure-identity",
        "azure-mgmt-resource-subscriptions": "azure-mgmt-resource-subscriptions",
        "requests": "requests",
    }
    return {client: metadata.version(package) for client, package in python.items()} | {
        "msal-node": node["@azure/msal-node"],
        "@azure/identity": node["@azure/identity"],
    }


def check_page(results, settings, node_folder):
    """Compares the requests; what is wrong with docs/interop.md, or nothing."""
    try:
        facts = Facts(settings, thumbprints(settings["certificate_file"]))
        page = compare.page(results, facts, versions(node_folder))
    except compare.Problem as problem:
        return str(problem)
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(page, encoding="utf-8")
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
        return None
    return f"{PAGE} is not what the suite makes; UPDATE_DOCS=1 make interop writes it anew"


def main(binaries, node_folder):
    binaries, node_folder = pathlib.Path(binaries), pathlib.Path(node_folder)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        emulator = Emulator(binaries / "entra-emulator", folder / "ca.pem")
        try:
            server = sign_in_server(emulator)
            files = credentials(emulator, folder)
            identities = IdentityEndpoint(files["federated"])
            settings = files | {
                "identity": IDENTITY,
                "identity_header": HEADER,
                "platforms": identities.variables(),
                "https": emulator.https,
                "arm": emulator.arm,
                "ca_file": emulator.ca_file,
                "gateway": str(binaries / "obo-gateway"),
                "tenant": TENANT,
                "api": API,
                "api_secret": API_SECRET,
                "ui": UI,
                "ui_secret": UI_SECRET,
                "password": PASSWORD,
                "environments": environments(emulator, files),
                "alice": "a11ce000-0000-4000-8000-000000000011",
                "redirect_uri": "http://localhost:8000/account/callback",
                "sign_in": f"http://127.0.0.1:{server.server_port}",
                "assertion": emulator.user_token(),
                "claims": CLAIMS,
                "grace": emulator.control("POST", "/token", {"user": "grace"})["token"],
                "unconsented": emulator.control(
                    "POST", "/token", {"user": "bob", "consent": False}
                )["token"],
            }
            environment = {"INTEROP": json.dumps(settings)}
            clients = [
                # The gateway's file names the certificate authority.
                ([sys.executable, str(HERE / "tower_obo.py")], {}),
                ([sys.executable, str(HERE / "python_clients.py")], {"REQUESTS_CA_BUNDLE": emulator.ca_file}),
                (["node", str(node_folder / "node_clients.mjs")], {"NODE_EXTRA_CA_CERTS": emulator.ca_file}),
            ]
            for command, trust in clients:
                run(command, environment | trust, emulator, identities, results)
            wrong = check_page(results, settings, node_folder)
        finally:
            emulator.stop()
    table(results)
    failed = [result for result in results if result["error"]]
    print(f"\n{len(results) - len(failed)} passed, {len(failed)} failed")
    if wrong:
        print(wrong, file=sys.stderr)
    return 1 if failed or wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
