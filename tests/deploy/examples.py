"""The examples of deploy/examples, each behind the gateway and with the emulator in Azure's place: what a user sees, and what becomes of
Azure's refusals and failures. (.NET is not among what the tests install: Program.cs is not run. The MCP server has a client of
its own: mcp_client.py.)"""

import base64
import itertools
import json
import os
import pathlib
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading
import urllib.request

from behind import FOLDER, OPENER, get, running

BINARIES = pathlib.Path(os.environ["GATEWAY"]).parent
ALICE = "a11ce000-0000-4000-8000-000000000011"
# So many subscriptions has Grace, in pages.
GRACE = 250
CLAIMS = base64.b64encode(b'{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}').decode()
CHALLENGE = f'Bearer authorization_uri="https://login.microsoftonline.com/common", error="insufficient_claims", claims="{CLAIMS}"'
# How long each waits for Azure, and how long here.
PATIENCE = {"app.py": ("timeout=30", "timeout=3"), "app.mjs": ("30_000", "3_000"), "App.java": ("ofSeconds(30)", "ofSeconds(3)")}


class Elsewhere:
    """A server that Azure's answers point to, and that should never hear of it."""

    def __enter__(self):
        heard = self.heard = []

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                head = b"".join(itertools.takewhile(lambda line: line not in (b"\r\n", b""), iter(self.rfile.readline, None)))
                heard.append("with the user's token" if b"\nauthorization:" in head.lower() else "without a token")

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def of(name, program, spoil=lambda text: text):
    """What is wrong with one example."""
    try:
        with tempfile.TemporaryDirectory() as folder, Elsewhere() as elsewhere:
            file = pathlib.Path(folder) / name
            text = (FOLDER / name).read_text()
            long, short = PATIENCE[name]
            assert long in text, f"{name} does not wait {long}"
            file.write_text(spoil(text.replace(long, short)))
            with running(BINARIES, "gateway.toml", [program, file]) as rig:
                found = [*judged(rig), *refused(rig, elsewhere)]
                return [f"{name}: {problem}" for problem in found]
    except (RuntimeError, subprocess.CalledProcessError) as error:
        return [f"{name}: {error}"]


def token(rig, user="alice"):
    return subprocess.run(
        [BINARIES / "entra-emulator", "token", "--user", user, "--url", rig.entra], capture_output=True, text=True, check=True
    ).stdout.strip()


def judged(rig):
    """What a caller sees while all is well."""
    status, _, text = get(rig.public + "/healthz")
    if status != 200:
        yield f"the public route answers {status}: {text}"
    status, headers, text = get(rig.public + "/")
    if status != 401 or not headers.get("WWW-Authenticate", "").startswith("Bearer"):
        yield f"without a token it answers {status}: {text}"
    status, _, text = get(rig.public + "/", Authorization=f"Bearer {token(rig)}", **{"X-Obo-Oid": "somebody-else"})
    if status != 200 or json.loads(text)["user"] != ALICE or not json.loads(text)["subscriptions"]:
        yield f"with Alice's token it answers {status}: {text}"
    status, _, text = get(rig.public + "/", Authorization=f"Bearer {token(rig, 'grace')}")
    seen = json.loads(text)["subscriptions"] if status == 200 else []
    # A list of names, or Azure's answer as it came, where the next page can be seen.
    if len(seen) != GRACE and not (isinstance(seen, dict) and seen["nextLink"].startswith(rig.arm)):
        yield f"Grace sees {len(seen)} of {GRACE} subscriptions, and no link to more: {status}"


def fault(rig, **order):
    """What becomes of what is asked of Azure from now on: in place of the fault of before."""
    url = f"{rig.entra}/emulator"
    for method, path, body in (("DELETE", "/faults", None), ("POST", "/endpoints/arm/faults", json.dumps(order | {"times": 9}).encode())):
        headers = {"X-Entra-Emulator": "1", "Content-Type": "application/json"}
        OPENER.open(urllib.request.Request(url + path, body, headers, method=method), timeout=10).close()


def refused(rig, elsewhere):
    """What a caller sees of Azure's refusals and failures. Each with a token of its own: the gateway remembers a challenge."""
    cases = [
        ("a challenge", {"status": 401, "headers": {"www-authenticate": CHALLENGE}}, 401, "WWW-Authenticate", f'claims="{CLAIMS}"'),
        ("too many requests", {"status": 429, "headers": {"retry-after": "17"}}, 429, "Retry-After", "17"),
        ("an outage", {"status": 503, "headers": {"retry-after": "17"}}, 503, "Retry-After", "17"),
        ("a connection cut off", {"kind": "reset"}, 502, None, None),
        ("silence", {"kind": "hang"}, 502, None, None),
        ("a redirect", {"status": 307, "headers": {"location": elsewhere.url}}, 502, None, None),
    ]
    for what, order, expected, header, value in cases:
        fault(rig, **order)
        status, headers, text = get(rig.public + "/", Authorization=f"Bearer {token(rig)}")
        if status != expected or (header and value not in headers.get(header, "")):
            yield f"{what} of Azure becomes {status}, {header}: {headers.get(header or '')}: {text}"
        # The gateway's own 502 says what it missed.
        if status == 502 and json.loads(text).get("error") != "azure":
            yield f"{what} of Azure ends the connection to the gateway: {text}"
    if elsewhere.heard:
        yield f"a redirect is followed, {elsewhere.heard[0]}"


PROGRAMS = {"app.py": sys.executable, "app.mjs": "node", "App.java": "java"}


def problems():
    found = []
    for name, program in PROGRAMS.items():
        found += of(name, program) if shutil.which(program) else [f"{name}: there is no {program}"]
    return found


# How app.py is broken, and what has to be said: one run for all.
CASES = [
    ('X-Obo-Oid"]', 'X-Obo-Tid"]', "with Alice's token"),
    ('passed_on = ("WWW-Authenticate", "Retry-After")', "passed_on = ()", "a challenge of Azure becomes 401, WWW-Authenticate"),
    ('passed_on = ("WWW-Authenticate", "Retry-After")', "passed_on = ()", "too many requests of Azure becomes 429, Retry-After: None"),
    ("(OSError, HTTPException, ValueError, KeyError)", "KeyError", "a connection cut off of Azure ends the connection"),
    ("build_opener(Stay)", "build_opener()", "a redirect is followed, with the user's token"),
    ('page.get("nextLink")', "None", "Grace sees 100 of 250"),
]


def not_found():
    """An example that is broken on purpose does not pass."""

    def spoil(text):
        for old, new, _ in CASES:
            assert old in text or new in text, old
            text = text.replace(old, new)
        return text

    found = of("app.py", sys.executable, spoil)
    return [f"an example with {new!r} for {old!r}: {found}" for old, new, said in CASES if not any(said in problem for problem in found)]
