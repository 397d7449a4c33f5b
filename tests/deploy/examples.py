"""The examples of deploy/examples, each behind the gateway and with the emulator in Azure's place. (.NET is not
among what the tests install: Program.cs is not run. The MCP server has a client of its own: mcp_client.py.)"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from behind import FOLDER, get, running

BINARIES = pathlib.Path(os.environ["GATEWAY"]).parent
ALICE = "a11ce000-0000-4000-8000-000000000011"


def of(name, command):
    """What is wrong with one example."""
    try:
        with running(BINARIES, "gateway.toml", command) as rig:
            token = subprocess.run(
                [BINARIES / "entra-emulator", "token", "--user", "alice", "--url", rig.entra],
                capture_output=True, text=True, check=True,
            ).stdout.strip()  # fmt: skip
            return [f"{name}: {problem}" for problem in judged(rig.public, token)]
    except (RuntimeError, subprocess.CalledProcessError) as error:
        return [f"{name}: {error}"]


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
