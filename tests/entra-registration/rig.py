"""What the registration runs in: programs and their addresses, Azure CLI, and Microsoft Graph without it."""

import atexit
import contextlib
import json
import os
import pathlib
import shlex
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

BINARIES, TOOLS = map(pathlib.Path, sys.argv[1:])
ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(tempfile.mkdtemp())
TENANT = "c0a70500-0000-4000-8000-000000000001"
ADMINISTRATOR, SECRET = "ad1a0000-0000-4000-8000-00000000000c", "emulator-administrator-secret"
ALICE, BOB = "a11ce000-0000-4000-8000-000000000011", "b0b00000-0000-4000-8000-000000000012"
CA, ENV = FOLDER / "ca.pem", FOLDER / ".env"
PATIENCE = 60
STARTED = []


def stop(*programs):
    for program in reversed(programs):
        program.terminate()
    for program in programs:
        program.wait()


@atexit.register
def end():
    stop(*STARTED)
    subprocess.run(["rm", "-rf", "--", FOLDER], check=True)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


ENTRA, ARM, ENTRA_TLS, ARM_TLS, GATEWAY, ADMIN, BACKEND, UI = (free_port() for _ in range(8))
LOGIN, GRAPH = f"https://localhost:{ENTRA_TLS}", f"https://localhost:{ARM_TLS}"
UI_URL = f"http://localhost:{UI}"
PATH = f"{TOOLS}:{os.environ['PATH']}"


def start(name, *arguments, **variables):
    log = (FOLDER / f"{name}.log").open("ab")
    program = subprocess.Popen(
        [BINARIES / name, *arguments], env={"PATH": PATH, "SSL_CERT_FILE": str(CA)} | variables,
        stdout=log, stderr=log, cwd=FOLDER,
    )  # fmt: skip
    STARTED.append(program)
    return program


def until(what, condition):
    ended = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > ended:
            logs = [f"{log.name}: {log.read_text()[-1500:]}" for log in FOLDER.glob("*.log")]
            raise SystemExit(f"{what}: not within {PATIENCE} s\n" + "\n".join(logs))
        time.sleep(0.1)


def answers(url, status=200):
    try:
        context = ssl.create_default_context(cafile=CA) if url.startswith("https") else None
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        with opener.open(url, timeout=5) as answer:
            return answer.status == status
    except urllib.error.HTTPError as error:
        return error.code == status
    except OSError:
        return False


AZURE = {
    "PATH": PATH,
    "HOME": str(FOLDER),
    "AZURE_CONFIG_DIR": str(FOLDER / "azure"),
    "AZURE_CORE_COLLECT_TELEMETRY": "false",
    "AZURE_CORE_INSTANCE_DISCOVERY": "false",
    "REQUESTS_CA_BUNDLE": str(CA),
    "NO_PROXY": "localhost,127.0.0.1",
    "REGISTER_PAUSE": "0",
}


def run(*command, expected=0, **variables):
    """What it said, on both streams."""
    done = subprocess.run(command, env=AZURE | variables, capture_output=True, text=True, cwd=FOLDER, check=False)
    said = done.stdout + done.stderr
    if done.returncode != expected:
        raise SystemExit(f"{shlex.join(map(str, command))} ended with {done.returncode}, not {expected}:\n{said}")
    for secret in secrets():
        assert secret not in said, f"{command[0]} shows a secret"
    return said


def secrets():
    with contextlib.suppress(FileNotFoundError):
        for line in ENV.read_text().splitlines():
            # That of a run which ended half way is empty.
            if "_SECRET=" in line and not line.endswith("=''"):
                yield line.partition("=")[2].strip("'")


def register(*options, **more):
    return run(ROOT / "deploy/entra/register.sh", "--env", ENV, "--ui-url", UI_URL, *options, **more)


def cleanup(*options, **more):
    return run(ROOT / "deploy/entra/cleanup.sh", "--env", ENV, *options, **more)


def az(*arguments, **more):
    return run("az", *arguments, "--output", "json", "--only-show-errors", **more)


def log_in(secret=SECRET, client=ADMINISTRATOR, **more):
    return az(
        "login", "--service-principal", "--username", client, "--password", secret,
        "--tenant", TENANT, "--allow-no-subscriptions", **more,
    )  # fmt: skip


def graph():
    """Microsoft Graph without Azure CLI: METHOD, PATH and a body, to what it says."""
    form = {
        "grant_type": "client_credentials", "client_id": ADMINISTRATOR, "client_secret": SECRET,
        "scope": f"{GRAPH}/.default",
    }  # fmt: skip
    context = ssl.create_default_context(cafile=CA)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    token_url = f"{LOGIN}/{TENANT}/oauth2/v2.0/token"
    token = json.load(opener.open(token_url, urllib.parse.urlencode(form).encode()))["access_token"]

    def call(method, path, body=None):
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with opener.open(urllib.request.Request(f"{GRAPH}/v1.0/{path}", data, headers, method=method)) as answer:
            return json.loads(answer.read() or "null")

    return call


def listing():
    """All that Graph knows, to be compared."""
    call = graph()
    all_of = {name: call("GET", name)["value"] for name in ("applications", "servicePrincipals", "oauth2PermissionGrants")}
    for app in all_of["applications"]:
        app["federated"] = call("GET", f"applications/{app['id']}/federatedIdentityCredentials")["value"]
    return all_of


def az_that(name, *cases):
    """The PATH of an Azure CLI that answers otherwise where its arguments are so."""
    folder = FOLDER / name
    folder.mkdir()
    text = "".join(f"{pattern}) {commands} ;;\n" for pattern, commands in cases)
    (folder / "az").write_text(f'#!/bin/sh\ncase "$*" in\n{text}esac\nexec {TOOLS}/az "$@"\n')
    (folder / "az").chmod(0o755)
    return f"{folder}:{PATH}"


def unchanged(before):
    """That nothing is there that was not, and nothing gone."""
    now = listing()
    for name, objects in before.items():
        new = [one for one in now[name] if one not in objects]
        gone = [one for one in objects if one not in now[name]]
        assert not new and not gone, f"{name}: new {json.dumps(new)}, gone {json.dumps(gone)}"


def app(name):
    (found,) = [one for one in listing()["applications"] if one["displayName"] == name]
    return found


def settings():
    lines = [line for line in ENV.read_text().splitlines() if not line.startswith("#")]
    return {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}


def ok(what):
    print(f"ok      {what}", flush=True)
