"""The examples of deploy/examples, each behind the gateway and with the emulator in Azure's place. (.NET is not
among what the tests install: Program.cs is not run.)"""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "deploy/examples"
GATEWAY = pathlib.Path(os.environ["GATEWAY"])
EMULATOR = GATEWAY.with_name("entra-emulator")
TENANT = "c0a70500-0000-4000-8000-000000000001"
API = "a9100000-0000-4000-8000-00000000000a"
ALICE = "a11ce000-0000-4000-8000-000000000011"
PATIENCE = 60
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def get(url, **headers):
    try:
        with OPENER.open(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def until_answers(url, program):
    end = time.monotonic() + PATIENCE
    while True:
        try:
            if get(url)[0] == 200:
                return
        except OSError:
            pass
        if program.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{url} does not answer")
        time.sleep(0.1)


def of(name, command):
    """What is wrong with one example."""
    entra, arm, app, public, admin = (free_port() for _ in range(5))
    text = (FOLDER / "gateway.toml").read_text()
    # The same file, but for the addresses and ids of this machine.
    text = text.replace(":8080", f":{public}").replace(":3000", f":{app}").replace(":9090", f":{admin}")
    text = re.sub(r'tenant( +)= ".*"', rf'tenant\1= "{TENANT}"', text)
    text = re.sub(r'client_id( *)= ".*"', rf'client_id\1= "{API}"', text)
    base = f"http://127.0.0.1:{entra}"
    environment = {"PATH": os.environ["PATH"], "ARM_URL": f"http://127.0.0.1:{arm}", "PORT": str(app)}
    started = []

    def start(*arguments, **variables):
        program = subprocess.Popen(
            arguments, env=environment | variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        started.append(program)
        return program

    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "gateway.toml"
        file.write_text(text)
        try:
            emulator = start(EMULATOR, f"--listen=127.0.0.1:{entra}", f"--arm-listen=127.0.0.1:{arm}", "--no-https")
            until_answers(base, emulator)
            until_answers(f"http://127.0.0.1:{app}/healthz", start(*command))
            gateway = start(
                GATEWAY, "--config", file, AZURE_CLIENT_SECRET="emulator-api-secret",
                AZURE_AUTHORITY_HOST=base, OBO_ALLOW_HTTP_LOOPBACK="true",
            )  # fmt: skip
            until_answers(f"http://127.0.0.1:{admin}/readyz", gateway)
            token = subprocess.run(
                [EMULATOR, "token", "--user", "alice", "--url", base], capture_output=True, text=True, check=True
            ).stdout.strip()
            return [f"{name}: {problem}" for problem in judged(f"http://127.0.0.1:{public}", token)]
        except (RuntimeError, subprocess.CalledProcessError) as error:
            return [f"{name}: {error}"]
        finally:
            for program in reversed(started):
                program.terminate()
            for program in started:
                program.wait()


def judged(url, token):
    status, _, text = get(url + "/healthz")
    if status != 200:
        yield f"the public route answers {status}: {text}"
    status, headers, text = get(url + "/")
    if status != 401 or not headers.get("WWW-Authenticate", "").startswith("Bearer"):
        yield f"without a token it answers {status}: {text}"
    status, _, text = get(url + "/", Authorization=f"Bearer {token}", **{"X-Obo-Oid": "somebody-else"})
    if status != 200 or json.loads(text)["user"] != ALICE or not json.loads(text)["subscriptions"]:
        yield f"with Alice's token it answers {status}: {text}"


def problems():
    commands = {"app.py": sys.executable, "app.mjs": "node", "App.java": "java"}
    found = []
    for name, program in commands.items():
        found += of(name, [program, FOLDER / name]) if shutil.which(program) else [f"{name}: there is no {program}"]
    return found


def not_found():
    """A service that shows no user, and that is no service, does not pass."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "app.py"
        file.write_text((FOLDER / "app.py").read_text().replace("X-Obo-Oid\"]", "X-Obo-Tid\"]"))
        found = of("broken", [sys.executable, file])
    return [] if any("Alice" in problem for problem in found) else [f"an example that is broken on purpose: {found}"]
