"""tower-obo, as obo-gateway in front of the emulator's Resource Manager: its token requests stand beside
those of Microsoft's clients."""

import base64
import contextlib
import http.server
import os
import pathlib
import re
import subprocess
import tempfile
import threading

import requests

from checks import check, expect, settings

CLIENT = "tower-obo"
# As the gateway's file says it, in the file of this run.
CREDENTIALS = {
    "secret": '{{ secret_file = "{secret_file}" }}',
    "certificate": '{{ certificate = "{pem_file}" }}',
    "PFX file": '{{ certificate = "{pfx_file}", password_file = "{password_file}" }}',
    "federated": '{{ federated_token_file = "{federated_file}" }}',
    "managed identity": '{{ managed_identity = "{identity}" }}',
    "secret of the web app": '{{ secret_file = "{ui_secret_file}" }}',
}
# How long the gateway may take to start, and to end.
PATIENCE = 30


class Echo(http.server.BaseHTTPRequestHandler):
    """An upstream that says what it was authorized with."""

    def do_GET(self):
        answer = self.headers["authorization"].encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


echo = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
threading.Thread(target=echo.serve_forever, daemon=True).start()
ECHO = f"http://127.0.0.1:{echo.server_port}"


@contextlib.contextmanager
def gateway(credential, more="", client=settings["api"], downstream=None, environment={}):
    """A running gateway with that credential, or with what the environment tells of; its address. `more` goes
    under [entra]."""
    entra = f"""
authority = "{settings["https"]}"
tenant = "{settings["tenant"]}"
client_id = "{client}"
credential = {CREDENTIALS[credential].format(**settings)}
""" if credential else ""
    downstream = downstream or '''
[downstream.arm]
scope = "https://management.azure.com/.default"
'''
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "gateway.toml"
        config.write_text(f"""
listen = "127.0.0.1:0"
upstream = "{settings["arm"]}"
workers = 1
retry_challenges = true
[entra]
ca_file = "{settings["ca_file"]}"
{entra}
{more}
[accept]
scopes = ["access_as_user"]
audiences = ["{settings["api"]}"]
{downstream}
[[route]]
path = "/subscriptions"
downstream = "arm"
upstream = "arm"
[upstreams.arm]
url = "{settings["arm"]}"
ca_file = "{settings["ca_file"]}"
[[route]]
path = "/application"
downstream = "arm"
upstream = "echo"
[upstreams.echo]
url = "{ECHO}"
""")
        process = subprocess.Popen(
            [settings["gateway"], "--config", str(config)],
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


def challenged():
    """The next request to Resource Manager is challenged."""
    challenge = base64.b64encode(settings["claims"].encode()).decode()
    header = f'Bearer realm="", error="insufficient_claims", claims="{challenge}"'
    order = requests.post(
        f"{settings['https']}/emulator/endpoints/arm/faults",
        json={"status": 401, "headers": {"www-authenticate": header}},
        verify=settings["ca_file"],
        timeout=PATIENCE,
    )
    assert order.status_code == 204, order.text


def application_token(address):
    """The token that the upstream gets is the application's own."""
    answer = requests.get(
        f"{address}/application",
        headers={"authorization": f"Bearer {settings['assertion']}"},
        timeout=PATIENCE,
    )
    assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
    token = answer.text.removeprefix("Bearer ")
    expect(token, aud=settings["api"], azp=settings["ui"], idtyp="app", roles=["Subscriptions.Read.All"])


ALICES = ["Alice Production", "Alice Sandbox"]

for credential in ["secret", "certificate", "PFX file", "federated"]:

    @check(CLIENT, "on behalf of", credential)
    def _():
        with gateway(credential) as address:
            found = subscriptions(address)
        assert found == ALICES, found


CAPABLE = "answer_claims_challenges = true"


@check(CLIENT, "on behalf of, with a capability", "secret")
def _():
    with gateway("secret", CAPABLE) as address:
        found = subscriptions(address)
    assert found == ALICES, found


@check(CLIENT, "on behalf of, with claims", "secret")
def _():
    with gateway("secret", CAPABLE) as address:
        challenged()
        found = subscriptions(address)
    assert found == ALICES, found


# The web app's own tokens for the API, which Microsoft's clients ask for here, too.
OWN = f'''
[downstream.arm]
grant = "client_credentials"
scope = "api://{settings["api"]}/.default"
'''

for credential, of_the_web_app in {
    "secret": "secret of the web app",
    "certificate": "certificate",
    "federated": "federated",
}.items():

    @check(CLIENT, "client credentials", credential)
    def _():
        with gateway(of_the_web_app, client=settings["ui"], downstream=OWN) as address:
            application_token(address)


for credential, variables in settings["environments"].items():

    @check(CLIENT, "client credentials, from the environment", credential)
    def _():
        with gateway(None, downstream=OWN, environment=variables) as address:
            application_token(address)


for platform, variables in settings["platforms"].items():

    @check(CLIENT, "token of a managed identity", platform)
    def _():
        with gateway("managed identity", environment=variables) as address:
            found = subscriptions(address)
        assert found == ALICES, found
