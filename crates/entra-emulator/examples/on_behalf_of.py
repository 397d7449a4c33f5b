"""A service's own test with msal: a user's token becomes one for Azure Resource Manager.

    pip install msal requests
    examples/with-emulator python3 examples/on_behalf_of.py
"""

import os

import msal
import requests

ENTRA, ARM = os.environ["EMULATOR_URL"], os.environ["EMULATOR_ARM_URL"]
TENANT = "c0a70500-0000-4000-8000-000000000001"
API = "a9100000-0000-4000-8000-00000000000a"


def control(method, path, **body):
    """The emulator's control API."""
    answer = requests.request(
        method, f"{ENTRA}/emulator/{path}", headers={"X-Entra-Emulator": "1"}, json=body or None, timeout=10
    )
    answer.raise_for_status()
    return answer.json() if answer.content else None


def exchange(assertion):
    """What a service does with the token of its caller."""
    app = msal.ConfidentialClientApplication(
        API,
        authority=f"{ENTRA}/{TENANT}",
        client_credential="emulator-api-secret",
        instance_discovery=False,
    )
    return app.acquire_token_on_behalf_of(assertion, ["https://management.azure.com/user_impersonation"])


alice = control("POST", "token", user="alice")["token"]
result = exchange(alice)
answer = requests.get(
    f"{ARM}/subscriptions?api-version=2022-12-01",
    headers={"Authorization": f"Bearer {result['access_token']}"},
    timeout=10,
)
names = [one["displayName"] for one in answer.json()["value"]]
assert names == ["Alice Production", "Alice Sandbox"], names

# What goes wrong is part of the test: Carol needs a second factor.
carol = exchange(control("POST", "token", user="carol")["token"])
assert carol["error"] == "interaction_required" and "claims" in carol, carol

# And what the service asked is there to be looked at.
last = control("GET", "token-requests")[-1]
assert last["refused"]["code"] == 50076, last
print("Python:", ", ".join(names))
