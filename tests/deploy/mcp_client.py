"""A real MCP client (the SDK of modelcontextprotocol.io, unmodified) that knows the server's address and its own client id and
nothing else: it finds the authorization server by the gateway's metadata, signs in with PKCE, and calls the tool
of deploy/examples/mcp_server.py through the gateway. Arguments: the folder of the binaries."""

import asyncio
import html.parser
import pathlib
import re
import sys
import urllib.parse

import httpx2
from behind import API, FOLDER, TENANT, running
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata

UI = "b1e00000-0000-4000-8000-00000000000b"
REDIRECT = "http://localhost:8000/account/callback"


class Forms(html.parser.HTMLParser):
    """The forms of a page, each with its fields and the names on its buttons."""

    def __init__(self, text):
        super().__init__()
        self.forms = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self.forms.append({"action": attributes.get("action", ""), "fields": [], "buttons": []})
        elif tag in ("input", "button") and attributes.get("name") and self.forms:
            kind = "buttons" if tag == "button" or attributes.get("type") == "submit" else "fields"
            self.forms[-1][kind].append((attributes["name"], attributes.get("value", "")))


async def sign_in(url):
    """What a person does in the emulator's pages: choose Alice, and accept."""
    async with httpx2.AsyncClient(trust_env=False) as browser:
        answer = await browser.get(url)
        for _ in range(6):
            if "location" in answer.headers:
                target = urllib.parse.urljoin(str(answer.request.url), answer.headers["location"])
                if target.startswith(REDIRECT):
                    return target
                answer = await browser.get(target)
                continue
            answer.raise_for_status()
            form, fields = chosen(answer.text)
            action = urllib.parse.urljoin(str(answer.request.url), form["action"])
            answer = await browser.post(action, data=dict(fields))
    raise SystemExit(f"the sign-in ends at {answer.request.url}: {answer.status_code} {answer.text[:500]}")


def chosen(text):
    """The form to send, and with which button."""
    forms = Forms(text).forms
    for form in forms:
        for button in form["buttons"] + form["fields"]:
            if re.search(r"alice|accept|consent", f"{button[0]} {button[1]}", re.I) or "a11ce000" in button[1]:
                return form, form["fields"] + [button]
    raise SystemExit(f"no form to go on with: {forms}")


class Memory:
    """The client's storage: the client id it was registered with by hand, and later its tokens."""

    def __init__(self):
        self.tokens = None
        self.client = OAuthClientInformationFull(
            client_id=UI, client_secret="emulator-ui-secret", redirect_uris=[REDIRECT], token_endpoint_auth_method="client_secret_post"
        )

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        raise SystemExit("the client registered itself, which Entra ID does not offer")


async def call(url):
    """Whom the server says to ask, and what the tool answers."""
    asked = {}

    async def redirect(to):
        asked["authorize"] = to
        asked["back"] = urllib.parse.parse_qs(urllib.parse.urlsplit(await sign_in(to)).query)

    async def callback():
        back = asked["back"]
        return AuthorizationCodeResult(code=back["code"][0], state=back["state"][0])

    metadata = OAuthClientMetadata(client_name="mcp test", redirect_uris=[REDIRECT], token_endpoint_auth_method="client_secret_post")
    storage = Memory()
    auth = OAuthClientProvider(url, metadata, storage, redirect_handler=redirect, callback_handler=callback)
    async with httpx2.AsyncClient(auth=auth, trust_env=False, timeout=30) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            tools = await client.list_tools()
            result = await client.call_tool("list_subscriptions", {})
    return asked, [tool.name for tool in tools.tools], result, storage


def main():
    server = [sys.executable, FOLDER / "mcp_server.py"]
    # Asked without a body of the protocol it says 406, as soon as it is there.
    with running(pathlib.Path(sys.argv[1]), "mcp.toml", server, "/mcp", 406) as rig:
        consent(rig.entra)
        judge(rig.entra, rig.public + "/mcp", rig.app + "/mcp")


def consent(base):
    """What an administrator does once: Azure for the API. The scope that the metadata names does not carry it along; a
    sign-in with .default does, by knownClientApplications."""
    query = {"client_id": UI, "redirect_uri": REDIRECT, "response_type": "code", "scope": f"api://{API}/.default"}
    back = asyncio.run(sign_in(f"{base}/{TENANT}/oauth2/v2.0/authorize?{urllib.parse.urlencode(query)}"))
    assert "code=" in back, back


def judge(base, url, past_it):
    asked, tools, result, storage = asyncio.run(call(url))
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(asked["authorize"]).query)
    assert asked["authorize"].startswith(f"{base}/{TENANT}/oauth2/v2.0/authorize?"), asked["authorize"]
    assert query["code_challenge_method"] == ["S256"] and f"api://{API}/access_as_user" in query["scope"][0].split(), query
    print("ok      the client found the tenant and the scope by the gateway's metadata, and signed in with PKCE")
    assert query["resource"] == [url], query
    assert tools == ["list_subscriptions"], tools
    assert not result.is_error and "Alice Production" in str(result.content), result
    print("ok      the tool answered with Alice's subscriptions, by a token that the gateway exchanged")
    # Whoever comes past the gateway with the client's token is nobody to Azure.
    past = asyncio.run(tool_past_the_gateway(past_it, storage.tokens.access_token))
    assert past.is_error, past
    print("ok      past the gateway the client's own token is refused by Azure")


async def tool_past_the_gateway(url, token):
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=30) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            return await client.call_tool("list_subscriptions", {})


if __name__ == "__main__":
    main()
