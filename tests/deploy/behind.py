"""One of the examples of deploy/examples behind the gateway, with the emulator in Azure's place."""

import contextlib
import itertools
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "deploy/examples"
TENANT = "c0a70500-0000-4000-8000-000000000001"
API = "a9100000-0000-4000-8000-00000000000a"
PATIENCE = 60
PORTS = itertools.count(20_000 + os.getpid() % 11_000)
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port():
    """One that the system gives to nobody who does not ask for it: others listen on many until a program has it."""
    while True:
        port = next(PORTS)
        with socket.socket() as taken, contextlib.suppress(OSError):
            taken.bind(("127.0.0.1", port))
            return port


def get(url, **headers):
    try:
        with OPENER.open(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def until_answers(url, program, status=200):
    end = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError):
            if get(url)[0] == status:
                return
        if program.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{url} does not answer")
        time.sleep(0.1)


class Rig:
    """The addresses of what runs."""

    def __init__(self):
        entra, arm, app, public, admin = (f"http://127.0.0.1:{free_port()}" for _ in range(5))
        self.entra, self.arm, self.app, self.public, self.admin = entra, arm, app, public, admin

    def of_this_machine(self, text):
        """The same file, but for addresses and ids."""
        for shown, own in ((":8080", self.public), (":3000", self.app), (":9090", self.admin)):
            text = text.replace(shown, ":" + own.rsplit(":", 1)[1])
        text = re.sub(r'tenant( +)= ".*"', rf'tenant\1= "{TENANT}"', text)
        return re.sub(r'client_id( *)= ".*"', rf'client_id\1= "{API}"', text)


@contextlib.contextmanager
def running(binaries, settings, command, probe="/healthz", status=200):
    """Emulator, service and gateway, until the block ends. RuntimeError where one does not come up."""
    rig, started = Rig(), []
    quiet = {} if os.environ.get("VERBOSE") else {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def start(*arguments, **variables):
        program = subprocess.Popen(arguments, env={"PATH": os.environ["PATH"]} | variables, **quiet)
        started.append(program)
        return program

    def address(url):
        return url.removeprefix("http://")

    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "gateway.toml"
        file.write_text(rig.of_this_machine((FOLDER / settings).read_text()))
        try:
            emulator = start(
                binaries / "entra-emulator", f"--listen={address(rig.entra)}", f"--arm-listen={address(rig.arm)}", "--no-https"
            )
            until_answers(rig.entra, emulator)
            service = start(*command, PORT=rig.app.rsplit(":", 1)[1], ARM_URL=rig.arm)
            until_answers(rig.app + probe, service, status)
            gateway = start(
                binaries / "obo-gateway", "--config", file, AZURE_CLIENT_SECRET="emulator-api-secret",
                AZURE_AUTHORITY_HOST=rig.entra, OBO_ALLOW_HTTP_LOOPBACK="true",
            )  # fmt: skip
            until_answers(f"{rig.admin}/readyz", gateway)
            yield rig
        finally:
            for program in reversed(started):
                program.terminate()
            for program in started:
                program.wait()
