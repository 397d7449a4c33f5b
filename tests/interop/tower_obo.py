"""tower-obo, as obo-gateway in front of the emulator's Resource Manager: its token requests stand beside
those of Microsoft's clients."""

import base64
import contextlib
import os
import pathlib
import re
import subprocess
import tempfile
import threading

import requests

from checks import check, settings

CLIENT = "tower-obo"
# As the gateway's file names them, and the file of this run.
CREDENTIALS = {
    "secret": ("secret_file", "secret_file"),
    "certificate": ("certificate", "pem_file"),
    "federated": ("federated_token_file", "federated_file"),
    "managed identity": ("managed_identity", "identity"),
}
# How long the gateway may take to start, and to end.
PATIENCE = 30


@contextlib.contextmanager
def gateway(credential, *flags, environment={}):
    """A running gateway with that credential; its address."""
    key, file = CREDENTIALS[credential]
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "gateway.toml"
        config.write_text(f"""
listen = "127.0.0.1:0"
upstream = "{settings["arm"]}"
workers = 1
[entra]
authority = "{settings["https"]}"
tenant = "{settings["tenant"]}"
client_id = "{settings["api"]}"
ca_file = "{settings["ca_file"]}"
credential = {{ {key} = "{settings[file]}" }}
[accept]
scopes = ["access_as_user"]
[downstream.arm]
scope = "https://management.azure.com/.default"
[[route]]
path = "/subscriptions"
downstream = "arm"
upstream = "arm"
[upstreams.arm]
url = "{settings["arm"]}"
ca_file = "{settings["ca_file"]}"
""")
        process = subprocess.Popen(
            [settings["gateway"], "--config", str(config), *flags],
            env=os.environ | {"RUST_LOG": "info"} | environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        slow = threading.Timer(PATIENCE, process.kill)
        slow.start()
        try:
            said = []
            for text in process.stderr:
                said.append(text)
                if found := re.search(r"listen.*?(http://127\.0\.0\.1:\d+)", text):
                    break
            else:
                raise RuntimeError("the gateway did not start: " + "".join(said))
            slow.cancel()
            # What it says from here on is not kept, but must not fill the pipe either.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield found[1]
        finally:
            slow.cancel()
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def subscriptions(address):
    answer = requests.get(
        f"{address}/subscriptions?api-version=2022-12-01",
        headers={"authorization": f"Bearer {settings['assertion']}"},
        timeout=PATIENCE,
    )
    assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
    return sorted(one["displayName"] for one in answer.json()["value"])


for credential in ["secret", "certificate", "federated"]:

    @check(CLIENT, "on behalf of", credential)
    def _():
        with gateway(credential) as address:
            found = subscriptions(address)
        assert found == ["Alice Production", "Alice Sandbox"], found


@check(CLIENT, "on behalf of, with claims", "secret")
def _():
    challenge = base64.b64encode(settings["claims"].encode()).decode()
    header = f'Bearer realm="", error="insufficient_claims", claims="{challenge}"'
    with gateway("secret", "--retry-challenges") as address:
        order = requests.post(
            f"{settings['https']}/emulator/endpoints/arm/faults",
            json={"status": 401, "headers": {"www-authenticate": header}},
            verify=settings["ca_file"],
            timeout=PATIENCE,
        )
        assert order.status_code == 204, order.text
        found = subscriptions(address)
    assert found == ["Alice Production", "Alice Sandbox"], found


for platform, variables in settings["platforms"].items():

    @check(CLIENT, "token of a managed identity", platform)
    def _():
        with gateway("managed identity", environment=variables) as address:
            found = subscriptions(address)
        assert found == ["Alice Production", "Alice Sandbox"], found
