"""Keycloak, unmodified, as the provider: its users' tokens go through the gateway, are judged there, and reach
the upstream as Keycloak's own tokens for another audience (RFC 8693).

keycloak.py BINARIES KEYCLOAK: the folder with obo-gateway, and the unpacked Keycloak.
"""

import base64
import contextlib
import http.server
import itertools
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

BRIEF = 8  # seconds that a token of the client brief-ui lives
SKEW = 1  # seconds of leeway that the gateway has
START = 240  # seconds that Keycloak may take to start
PASSWORD = secrets.token_urlsafe()
PORTS = itertools.count(20_000 + os.getpid() % 11_000)
SECRET = secrets.token_urlsafe() + "/+:"
NEXT = secrets.token_urlsafe()


class Json(list):
    """A list that is sent as JSON."""


def call(method, url, body=None, token=None):
    """Status, headers and body of one request; a dict is sent as JSON, a list of pairs as a form."""
    headers = {}
    if isinstance(body, (dict, Json)):
        headers["Content-Type"], body = "application/json", json.dumps(body).encode()
    elif body is not None:
        body = urllib.parse.urlencode(body).encode()
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def free_port():
    """One that the system gives to nobody who does not ask for it: others listen on many until a program has it."""
    while True:
        port = next(PORTS)
        with socket.socket() as taken, contextlib.suppress(OSError):
            taken.bind(("127.0.0.1", port))
            return port


def until(what, seconds, process):
    """Waits for `what` to hold, no longer than that, and not for a process that has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{process.args[0]} ended with {process.returncode}")
        try:
            if what():
                return
        except OSError:
            pass
        time.sleep(0.25)
    raise SystemExit(f"{process.args[0]} was not ready after {seconds} s")


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def claims(token):
    return json.loads(decoded(token.split(".")[1]))


class Upstream(http.server.BaseHTTPRequestHandler):
    seen = []

    def do_GET(self):
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


class Keycloak:
    """Keycloak on loopback, with a realm, its clients and two users, made by its admin API."""

    def __init__(self, home, folder):
        # What a run before has left, its administrator and all.
        shutil.rmtree(home / "data", ignore_errors=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.issuer = f"{self.url}/realms/shop"
        environment = dict(
            os.environ,
            KC_BOOTSTRAP_ADMIN_USERNAME="admin",
            KC_BOOTSTRAP_ADMIN_PASSWORD=PASSWORD,
            JAVA_OPTS_APPEND="-Xmx512m",
        )
        self.log = open(folder / "keycloak.log", "wb")
        self.process = subprocess.Popen(
            [
                home / "bin/kc.sh",
                "start-dev",
                "--http-host=127.0.0.1",
                f"--http-port={self.port}",
                f"--http-management-port={free_port()}",
                "--hostname-strict=false",
            ],
            env=environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            # kc.sh starts java: both are ended together, and nothing else is.
            start_new_session=True,
        )

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.log.close()

    def token(self, client, user, realm="shop", kind="access_token", **more):
        form = {
            "grant_type": "password",
            "client_id": client,
            "username": user,
            "password": PASSWORD,
            **more,
        }
        url = f"{self.url}/realms/{realm}/protocol/openid-connect/token"
        status, _, body = call("POST", url, list(form.items()))
        assert status == 200, (status, body)
        return json.loads(body)[kind]

    def admin(self, method, path, body=None):
        token = self.token("admin-cli", "admin", "master")
        if isinstance(body, list):
            # Not a form, here.
            body = Json(body)
        status, headers, answer = call(method, f"{self.url}/admin/realms{path}", body, token)
        assert status in (200, 201, 204), (method, path, status, answer)
        return headers, json.loads(answer) if answer else None

    def set_up(self):
        until(lambda: call("GET", f"{self.url}/realms/master")[0] == 200, START, self.process)
        self.admin("POST", "", {"realm": "shop", "enabled": True, "sslRequired": "none"})

        def audience(client):
            return {
                "name": client,
                "protocol": "openid-connect",
                "protocolMapper": "oidc-audience-mapper",
                "config": {"included.client.audience": client, "access.token.claim": "true"},
            }

        login = {"enabled": True, "directAccessGrantsEnabled": True, "publicClient": True}
        self.admin("POST", "/shop/clients", {"clientId": "orders-api", "enabled": True, "secret": SECRET})
        api = {
            "clientId": "shop-api",
            "enabled": True,
            "secret": SECRET,
            "serviceAccountsEnabled": True,
            # So that there are ID tokens for it.
            "directAccessGrantsEnabled": True,
            "attributes": {"standard.token.exchange.enabled": "true"},
            "protocolMappers": [audience("orders-api")],
        }
        headers, _ = self.admin("POST", "/shop/clients", api)
        self.api = headers["Location"].rsplit("/", 1)[1]
        ui = {"clientId": "shop-ui", "protocolMappers": [audience("shop-api")]}
        self.admin("POST", "/shop/clients", {**ui, **login})
        self.admin("POST", "/shop/clients", {"clientId": "other-ui", **login})
        brief = {"clientId": "brief-ui", "attributes": {"access.token.lifespan": str(BRIEF)}}
        self.admin("POST", "/shop/clients", {**ui, **brief, **login})
        self.admin("POST", "/shop/roles", {"name": "customer"})
        self.alice, _ = self.user("alice"), self.user("bob")
        _, role = self.admin("GET", "/shop/roles/customer")
        self.admin("POST", f"/shop/users/{self.alice}/role-mappings/realm", [role])

    def user(self, name):
        user = {
            "username": name,
            "enabled": True,
            "email": f"{name}@shop.example",
            "emailVerified": True,
            "firstName": name.capitalize(),
            "lastName": "Example",
            "credentials": [{"type": "password", "value": PASSWORD}],
        }
        headers, _ = self.admin("POST", "/shop/users", user)
        return headers["Location"].rsplit("/", 1)[1]

    def wants_assertions(self, certificate):
        """From now on the gateway's client has that certificate in place of a secret (private_key_jwt)."""
        _, client = self.admin("GET", f"/shop/clients/{self.api}")
        client["clientAuthenticatorType"] = "client-jwt"
        body = certificate.split("-----BEGIN CERTIFICATE-----")[1].split("-----END")[0].replace("\n", "")
        client["attributes"] |= {
            "jwt.credential.certificate": body,
            "token.endpoint.auth.signing.alg": "PS256",
        }
        self.admin("PUT", f"/shop/clients/{self.api}", client)

    def has_secret(self, secret):
        """From now on the gateway's client has that secret alone."""
        _, client = self.admin("GET", f"/shop/clients/{self.api}")
        self.admin("PUT", f"/shop/clients/{self.api}", client | {"secret": secret})

    def rotate(self, priority):
        """From now on the realm signs with a new key."""
        key = {
            "name": f"key-{priority}",
            "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": {"priority": [str(priority)], "algorithm": ["RS256"]},
        }
        self.admin("POST", "/shop/components", key)


class Gateway:
    def __init__(self, binaries, folder, keycloak, upstream, name, more):
        self.url = f"http://127.0.0.1:{free_port()}"
        admin = f"127.0.0.1:{free_port()}"
        file = folder / f"{name}.toml"
        file.write_text(
            f"""
listen   = "{self.url.removeprefix("http://")}"
upstream = "{upstream}"
workers  = 1

[admin]
listen = "{admin}"

[oidc]
issuer              = "{keycloak.issuer}"
client_id           = "shop-api"
roles_claim         = "realm_access.roles"
allow_http_loopback = true
{more}

[accept]
roles = ["customer"]
clock_skew = "{SKEW}s"

[downstream.own]
grant = "client_credentials"
scope = "email"

[downstream.orders]
grant    = "token_exchange"
audience = "orders-api"

[downstream.nobody]
grant    = "token_exchange"
audience = "nobody"

[[route]]
path             = "/orders"
downstream       = "orders"
identity_headers = {{ sub = "X-Sub", iss = "X-Iss" }}

[[route]]
path       = "/own"
downstream = "own"

[[route]]
path       = "/nobody"
downstream = "nobody"
"""
        )
        environment = dict(os.environ)
        if "credential" not in more:
            environment["OBO_CLIENT_SECRET"] = SECRET
        self.log = open(folder / f"{name}.log", "wb")
        self.process = subprocess.Popen(
            [binaries / "obo-gateway", "--config", file],
            env=environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        until(lambda: call("GET", f"http://{admin}/readyz")[0] == 200, 60, self.process)

    def get(self, path, token):
        return call("GET", self.url + path, token=token)

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        self.log.close()


passed = 0


def check(what, fact, shown=None):
    global passed
    if not fact:
        raise SystemExit(f"FAILED: {what}: {shown}")
    passed += 1
    print(f"ok: {what}", flush=True)


def problem(answer):
    return json.loads(answer[2])["type"].rsplit("/", 1)[-1].rsplit(":", 1)[-1]


def judge(keycloak, gateway, how):
    alice = keycloak.token("shop-ui", "alice")
    Upstream.seen.clear()
    answers = [gateway.get("/orders", alice) for _ in range(3)]
    check(f"{how}: the user is served", all(a[0] == 200 for a in answers), answers)
    tokens = {seen["authorization"].removeprefix("Bearer ") for seen in Upstream.seen}
    check(f"{how}: one exchange for three requests", len(tokens) == 1)
    (token,) = tokens
    own, theirs = claims(alice), claims(token)
    check(f"{how}: it is Keycloak's own", theirs["iss"] == keycloak.issuer, theirs["iss"])
    check(f"{how}: it is for the other API alone", theirs["aud"] == "orders-api", theirs["aud"])
    check(f"{how}: it is the user's", theirs["sub"] == own["sub"] == keycloak.alice)
    check(f"{how}: it was given to the gateway's client", theirs["azp"] == "shop-api", theirs["azp"])
    seen = Upstream.seen[0]
    check(f"{how}: who calls is told", (seen["x-sub"], seen["x-iss"]) == (own["sub"], own["iss"]))

    Upstream.seen.clear()
    answer = gateway.get("/orders", keycloak.token("other-ui", "alice"))
    check(f"{how}: a token for somebody else is refused", answer[0] == 401, answer)
    answer = gateway.get("/orders", token)
    check(f"{how}: so is the token of the other API", answer[0] == 401, answer)
    answer = gateway.get("/nobody", alice)
    check(f"{how}: an audience that is not to be had is the gateway's mistake", answer[0] == 502, answer)

    ended = keycloak.token("shop-ui", "alice")
    keycloak.admin("POST", f"/shop/users/{keycloak.alice}/logout", {})
    answer = gateway.get("/orders", ended)
    check(f"{how}: a session that was ended is no user's any more", answer[0] == 401, answer)
    check(f"{how}: and is told so", problem(answer) == "assertion-refused", answer)
    check(f"{how}: nothing of all that reached the upstream", not Upstream.seen, Upstream.seen)
    answer = gateway.get("/orders", keycloak.token("shop-ui", "alice"))
    check(f"{how}: who has signed in again is served", answer[0] == 200, answer)


def judge_more(keycloak, gateway, how, priority):
    """What is wrong with a token in one respect alone."""
    Upstream.seen.clear()
    alice = keycloak.token("shop-ui", "alice")

    def refused(what, status, token):
        answer = gateway.get("/orders", token)
        check(f"{how}: {what} is {status}", answer[0] == status, answer)

    # For the gateway's own client and by the same key: but for `typ` it would be a token without the role.
    own = keycloak.token("shop-api", "alice", kind="id_token", client_secret=SECRET, scope="openid")
    check(f"{how}: an ID token is for the client alone", claims(own)["aud"] == "shop-api", claims(own))
    refused("an ID token", 401, own)
    refresh = keycloak.token("shop-ui", "alice", kind="refresh_token")
    refused("a refresh token", 401, refresh)
    refused("a user without the role", 403, keycloak.token("shop-ui", "bob"))
    header, payload, signature = alice.split(".")
    middle = len(signature) // 2
    other = "A" if signature[middle] != "A" else "B"
    refused("an altered signature", 401, ".".join([header, payload, signature[:middle] + other + signature[middle + 1 :]]))
    longer = json.dumps(claims(alice) | {"exp": claims(alice)["exp"] + 3600}).encode()
    longer = base64.urlsafe_b64encode(longer).decode().rstrip("=")
    refused("a token that was made to live longer", 401, ".".join([header, longer, signature]))
    check(f"{how}: none of them reached the upstream", not Upstream.seen, Upstream.seen)

    brief = keycloak.token("brief-ui", "alice")
    refused("a token before its end", 200, brief)
    time.sleep(max(0, claims(brief)["exp"] + SKEW + 1 - time.time()))
    refused("the same token after it", 401, brief)

    Upstream.seen.clear()
    answers = [gateway.get("/own", keycloak.token("shop-ui", user)) for user in ("alice", "alice")]
    check(f"{how}: the application has a token of its own", all(a[0] == 200 for a in answers), answers)
    tokens = {seen["authorization"].removeprefix("Bearer ") for seen in Upstream.seen}
    check(f"{how}: it is the same for all", len(tokens) == 1)
    name = claims(tokens.pop())["preferred_username"]
    check(f"{how}: it is no user's", name == "service-account-shop-api", name)

    before = json.loads(decoded(alice.split(".")[0]))["kid"]
    keycloak.rotate(priority)
    alice = keycloak.token("shop-ui", "alice")
    kid = json.loads(decoded(alice.split(".")[0]))["kid"]
    check(f"{how}: the realm has a new key", kid != before)
    refused("a token by the realm's new key", 200, alice)


def judge_rotation(keycloak, gateway, file):
    """Keycloak takes the old secret no more, and the file has the new one a moment later."""
    how = "secret in a file"
    get = lambda user: gateway.get("/orders", keycloak.token("shop-ui", user))
    answer = get("alice")
    check(f"{how}: the user is served", answer[0] == 200, answer)
    keycloak.has_secret(NEXT)
    answer = get("alice")
    check(f"{how}: a wrong one is our own affair", answer[0] == 502, answer)
    check(f"{how}: and is told so", problem(answer) == "gateway-misconfigured", answer)
    fresh = file.with_suffix(".new")
    fresh.write_text(NEXT)
    fresh.rename(file)
    # Nobody asks for five seconds after that.
    until(lambda: get("alice")[0] == 200, 20, gateway.process)
    check(f"{how}: the new one is used without a restart", True)


def key_and_certificate(folder):
    """A file with both."""
    file = folder / "api.pem"
    file.touch(mode=0o600)
    made = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=shop-api -days 2 -keyout - -out -"
    file.write_bytes(subprocess.run(made.split(), check=True, capture_output=True).stdout)
    return file


def main():
    binaries, home = map(pathlib.Path, sys.argv[1:])
    folder = pathlib.Path(tempfile.mkdtemp(prefix="obo-keycloak-"))
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{upstream.server_address[1]}"
    keycloak = Keycloak(home, folder)
    gateway = None
    good = False
    try:
        keycloak.set_up()
        ways = [
            ("secret in the body", ""),
            ("secret in the header", "secret_in_header = true"),
        ]
        for number, (how, more) in enumerate(ways):
            name = how.replace(" ", "-")
            gateway = Gateway(binaries, folder, keycloak, address, name, more)
            judge(keycloak, gateway, how)
            judge_more(keycloak, gateway, how, 200 + number)
            gateway.stop()
        file = folder / "client-secret"
        file.write_text(SECRET)
        more = f'credential = {{ secret_file = "{file}" }}'
        gateway = Gateway(binaries, folder, keycloak, address, "secret-in-a-file", more)
        judge_rotation(keycloak, gateway, file)
        gateway.stop()
        certificate = key_and_certificate(folder)
        keycloak.wants_assertions(certificate.read_text())
        more = f'credential = {{ certificate = "{certificate}" }}'
        gateway = Gateway(binaries, folder, keycloak, address, "certificate", more)
        judge(keycloak, gateway, "certificate")
        gateway.stop()
        for log in folder.glob("*.log"):
            text = log.read_text(errors="replace")
            check(f"{log.name} holds no secret", not any(word in text for word in (SECRET, NEXT, "eyJ")))
        good = True
    finally:
        if gateway and gateway.process.poll() is None:
            gateway.stop()
        keycloak.stop()
        upstream.shutdown()
        if good:
            shutil.rmtree(folder)
        else:
            print(f"The logs are in {folder}", file=sys.stderr)
    print(f"{passed} passed, 0 failed")


main()
