"""A Model Context Protocol server behind the gateway: one tool, which asks Azure Resource Manager as the user who calls.
It has no OAuth of its own: whoever reaches it has been checked, and the token in `Authorization` is for Azure."""

import json
import os
import urllib.request

from mcp.server.mcpserver import Context, MCPServer

ARM = os.environ.get("ARM_URL", "https://management.azure.com").rstrip("/")
server = MCPServer("subscriptions")


class Stay(urllib.request.HTTPRedirectHandler):
    """urllib would take the user's token along to wherever a redirect points."""

    def redirect_request(self, *_):
        return None


AZURE = urllib.request.build_opener(Stay)


@server.tool()
def list_subscriptions(context: Context) -> list[str]:
    """The names of the Azure subscriptions of the user."""
    names, url = [], f"{ARM}/subscriptions?api-version=2022-12-01"
    while url:
        # The token is for Azure alone.
        if not url.startswith(ARM + "/"):
            raise ValueError("the next page is elsewhere")
        request = urllib.request.Request(url, headers={"Authorization": context.headers["authorization"]})
        # What Azure refuses is an error of the tool. The answer to a call is 200 all the same, and has no place for a challenge.
        with AZURE.open(request, timeout=30) as answer:
            page = json.load(answer)
        names += [subscription["displayName"] for subscription in page["value"]]
        url = page.get("nextLink")
    return names


if __name__ == "__main__":
    # On loopback, and without state: every call brings the token of its own user.
    server.run(
        "streamable-http", host="127.0.0.1", port=int(os.environ.get("PORT", "3000")),
        stateless_http=True, json_response=True,
    )  # fmt: skip
