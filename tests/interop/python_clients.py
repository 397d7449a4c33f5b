"""msal and azure-identity for Python, and Azure's own client of Resource Manager."""

import asyncio
import os
import unittest.mock
from urllib.parse import parse_qsl, urlsplit
from urllib.request import Request, urlopen

import msal
from azure.identity import (
    AuthorizationCodeCredential,
    CertificateCredential,
    ClientAssertionCredential,
    ClientSecretCredential,
    EnvironmentCredential,
    ManagedIdentityCredential,
    OnBehalfOfCredential,
    WorkloadIdentityCredential,
)
from azure.identity.aio import OnBehalfOfCredential as AsyncOnBehalfOfCredential
from azure.mgmt.resource.subscriptions import SubscriptionClient
from azure.core.exceptions import ClientAuthenticationError
import requests

from checks import check, expect, settings

HTTPS, ARM, TENANT = settings["https"], settings["arm"], settings["tenant"]
API, UI, ALICE = settings["api"], settings["ui"], settings["alice"]
AUTHORITY = f"{HTTPS}/{TENANT}"
ARM_SCOPE, API_SCOPE = "https://management.azure.com/.default", f"api://{API}/.default"
GRAPH_SCOPE = "https://graph.microsoft.com/User.Read"
PEM = open(settings["pem_file"], "rb").read()
PFX = open(settings["pfx_file"], "rb").read()
FEDERATED = open(settings["federated_file"]).read()
REDIRECT = settings["redirect_uri"]
ISSUER_V1, ISSUER_V2 = f"{AUTHORITY}/", f"{AUTHORITY}/v2.0"


def sign_in(url):
    with urlopen(Request(settings["sign_in"], data=url.encode(), method="POST")) as response:
        return dict(parse_qsl(urlsplit(response.read().decode()).query))


def succeeded(result):
    assert "access_token" in result, result
    return result["access_token"]


# msal

CREDENTIALS = {
    "secret": lambda secret: secret,
    "certificate": lambda _: {
        "private_key": open(settings["key_file"]).read(),
        "public_certificate": open(settings["certificate_file"]).read(),
    },
    "federated": lambda _: {"client_assertion": FEDERATED},
}
ACR = {"secret": "1", "certificate": "2", "federated": "2"}


def application(client_id, secret, credential, **options):
    options.setdefault("instance_discovery", False)
    return msal.ConfidentialClientApplication(
        client_id,
        authority=AUTHORITY,
        client_credential=CREDENTIALS[credential](secret),
        **options,
    )


for credential in CREDENTIALS:

    @check("msal-python", "authorization code", credential)
    def _():
        app = application(UI, settings["ui_secret"], credential)
        flow = app.initiate_auth_code_flow([API_SCOPE], redirect_uri=REDIRECT)
        result = app.acquire_token_by_auth_code_flow(flow, sign_in(flow["auth_uri"]))
        expect(succeeded(result), aud=API, oid=ALICE, azp=UI, azpacr=ACR[credential], iss=ISSUER_V2)
        assert result["id_token_claims"]["preferred_username"] == "alice@contoso.example"
        (account,) = app.get_accounts()
        again = app.acquire_token_silent([API_SCOPE], account, force_refresh=True)
        expect(succeeded(again), aud=API, oid=ALICE, azpacr=ACR[credential])
        assert again["access_token"] != result["access_token"]

    @check("msal-python", "client credentials", credential)
    def _():
        app = application(UI, settings["ui_secret"], credential)
        token = succeeded(app.acquire_token_for_client([API_SCOPE]))
        expect(token, aud=API, azp=UI, idtyp="app", roles=["Subscriptions.Read.All"], scp=None)

    @check("msal-python", "on behalf of", credential)
    def _():
        app = application(API, settings["api_secret"], credential)
        result = app.acquire_token_on_behalf_of(settings["assertion"], [ARM_SCOPE])
        expect(
            succeeded(result),
            aud="https://management.azure.com",
            oid=ALICE,
            appid=API,
            appidacr=ACR[credential],
            iss=ISSUER_V1,
        )


@check("msal-python", "on behalf of, with claims", "secret")
def _():
    app = application(API, settings["api_secret"], "secret", client_capabilities=["cp1"])
    result = app.acquire_token_on_behalf_of(
        settings["assertion"], [ARM_SCOPE], claims_challenge=settings["claims"]
    )
    expect(succeeded(result), oid=ALICE, xms_cc=["cp1"])


@check("msal-python", "on behalf of, with a capability", "secret")
def _():
    app = application(API, settings["api_secret"], "secret", client_capabilities=["cp1"])
    result = app.acquire_token_on_behalf_of(settings["assertion"], [ARM_SCOPE])
    expect(succeeded(result), oid=ALICE, xms_cc=["cp1"])


@check("msal-python", "instance discovery", "secret")
def _():
    instance = f"{HTTPS}/common/discovery/instance"
    app = application(UI, settings["ui_secret"], "secret", instance_discovery=instance)
    expect(succeeded(app.acquire_token_for_client([API_SCOPE])), aud=API)


@check("msal-python", "OpenID Connect authority", "secret")
def _():
    app = msal.ConfidentialClientApplication(
        UI, oidc_authority=ISSUER_V2, client_credential=settings["ui_secret"]
    )
    expect(succeeded(app.acquire_token_for_client([API_SCOPE])), aud=API, azp=UI)


@check("msal-python", "refusal of a wrong secret", "secret")
def _():
    result = application(UI, "wrong", "secret").acquire_token_for_client([API_SCOPE])
    assert (result["error"], result["error_codes"]) == ("invalid_client", [7000215]), result


@check("msal-python", "refusal without consent", "secret")
def _():
    app = application(API, settings["api_secret"], "secret")
    result = app.acquire_token_on_behalf_of(settings["unconsented"], [ARM_SCOPE])
    found = (result["error"], result["error_codes"], result["suberror"])
    assert found == ("invalid_grant", [65001], "consent_required"), result


# azure-identity

OPTIONS = {"authority": HTTPS, "disable_instance_discovery": True}


@check("azure-identity (Python)", "authorization code", "secret")
def _():
    scope = f"api://{API}/access_as_user"
    url = (
        f"{AUTHORITY}/oauth2/v2.0/authorize?client_id={UI}&response_type=code"
        f"&scope={scope}%20openid%20offline_access&redirect_uri={REDIRECT}"
    )
    code = sign_in(url)["code"]
    credential = AuthorizationCodeCredential(
        TENANT, UI, code, REDIRECT, client_secret=settings["ui_secret"], **OPTIONS
    )
    expect(credential.get_token(scope).token, aud=API, oid=ALICE, azp=UI)


for kind, credential in {
    "secret": lambda: ClientSecretCredential(TENANT, UI, settings["ui_secret"], **OPTIONS),
    "certificate": lambda: CertificateCredential(TENANT, UI, certificate_data=PEM, **OPTIONS),
    "federated": lambda: ClientAssertionCredential(TENANT, UI, lambda: FEDERATED, **OPTIONS),
    "federated token file": lambda: WorkloadIdentityCredential(
        tenant_id=TENANT, client_id=UI, token_file_path=settings["federated_file"], **OPTIONS
    ),
}.items():

    @check("azure-identity (Python)", "client credentials", kind)
    def _():
        token = credential().get_token(API_SCOPE).token
        expect(token, aud=API, azp=UI, idtyp="app", roles=["Subscriptions.Read.All"])


for kind, variables in settings["environments"].items():

    @check("azure-identity (Python)", "client credentials, from the environment", kind)
    def _():
        with unittest.mock.patch.dict(os.environ, variables):
            kind_of = WorkloadIdentityCredential if kind == "federated" else EnvironmentCredential
            credential = kind_of(disable_instance_discovery=True)
            token = credential.get_token(API_SCOPE).token
        expect(token, aud=API, azp=UI, idtyp="app")


ON_BEHALF_OF = {
    "secret": {"client_secret": settings["api_secret"]},
    "certificate": {"client_certificate": PEM},
    "PFX file": {"client_certificate": PFX, "password": settings["password"]},
    "federated": {"client_assertion_func": lambda: FEDERATED},
}


def on_behalf_of(kind, assertion=None):
    return OnBehalfOfCredential(
        TENANT,
        API,
        user_assertion=assertion or settings["assertion"],
        **ON_BEHALF_OF[kind],
        **OPTIONS,
    )


for kind in ON_BEHALF_OF:

    @check("azure-identity (Python)", "on behalf of", kind)
    def _():
        token = on_behalf_of(kind).get_token(ARM_SCOPE).token
        expect(token, aud="https://management.azure.com", oid=ALICE, appid=API)


async def on_behalf_of_async(kind, **options):
    async with AsyncOnBehalfOfCredential(
        TENANT,
        API,
        user_assertion=settings["assertion"],
        # aiohttp doesn't read REQUESTS_CA_BUNDLE.
        connection_verify=settings["ca_file"],
        **ON_BEHALF_OF[kind],
        **OPTIONS,
    ) as credential:
        return (await credential.get_token(ARM_SCOPE, **options)).token


for kind in ON_BEHALF_OF:

    @check("azure-identity (Python, asyncio)", "on behalf of", kind)
    def _():
        token = asyncio.run(on_behalf_of_async(kind))
        expect(token, aud="https://management.azure.com", oid=ALICE, appid=API)


@check("azure-identity (Python, asyncio)", "on behalf of, with claims", "secret")
def _():
    asked = {"claims": settings["claims"], "enable_cae": True}
    token = asyncio.run(on_behalf_of_async("secret", **asked))
    expect(token, oid=ALICE, xms_cc=["CP1"])


@check("azure-identity (Python)", "on behalf of, with a capability", "secret")
def _():
    token = on_behalf_of("secret").get_token(ARM_SCOPE, enable_cae=True).token
    expect(token, oid=ALICE, xms_cc=["CP1"])


@check("azure-identity (Python)", "on behalf of, with claims", "secret")
def _():
    credential = on_behalf_of("secret")
    token = credential.get_token(ARM_SCOPE, claims=settings["claims"], enable_cae=True).token
    # It declares the capability in capitals, and the token repeats what was declared.
    expect(token, oid=ALICE, xms_cc=["CP1"])


@check("azure-identity (Python)", "refusal without consent", "secret")
def _():
    try:
        on_behalf_of("secret", settings["unconsented"]).get_token(ARM_SCOPE)
    except ClientAuthenticationError as error:
        assert "AADSTS65001" in str(error), error
    else:
        raise AssertionError("it was not refused")


@check("azure-mgmt-resource-subscriptions", "subscriptions list", "secret")
def _():
    client = SubscriptionClient(on_behalf_of("secret"), base_url=ARM, credential_scopes=[ARM_SCOPE])
    names = sorted(one.display_name for one in client.subscriptions.list())
    assert names == ["Alice Production", "Alice Sandbox"], names


@check("azure-mgmt-resource-subscriptions", "subscriptions list, three pages", "secret")
def _():
    credential = on_behalf_of("secret", settings["grace"])
    client = SubscriptionClient(credential, base_url=ARM, credential_scopes=[ARM_SCOPE])
    assert len(list(client.subscriptions.list())) == 250


@check("requests", "Graph /v1.0/me", "secret")
def _():
    token = on_behalf_of("secret").get_token(GRAPH_SCOPE).token
    answer = requests.get(
        f"{ARM}/v1.0/me", headers={"authorization": f"Bearer {token}"}, timeout=10
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["userPrincipalName"] == "alice@contoso.example"


# Managed identities

EXCHANGE, IDENTITY = "api://AzureADTokenExchange", settings["identity"]

for platform, variables in settings["platforms"].items():

    @check("msal-python", "token of a managed identity", platform)
    def _():
        identity = msal.UserAssignedManagedIdentity(client_id=IDENTITY)
        with unittest.mock.patch.dict(os.environ, variables):
            client = msal.ManagedIdentityClient(identity, http_client=requests.Session())
            token = succeeded(client.acquire_token_for_client(resource=EXCHANGE))
        assert token == FEDERATED

    @check("azure-identity (Python)", "token of a managed identity", platform)
    def _():
        with unittest.mock.patch.dict(os.environ, variables):
            credential = ManagedIdentityCredential(client_id=IDENTITY)
            token = credential.get_token(f"{EXCHANGE}/.default").token
        assert token == FEDERATED
