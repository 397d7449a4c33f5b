"""A Model Context Protocol server behind the gateway: one tool, which asks Azure Resource Manager as the user who calls.
It has no OAuth of its own: whoever reaches it has been checked, and the token in `Authorization` is for Azure."""

import json
import os
import urllib.request

from mcp.server.mcpserver import Context, MCPServer

ARM = os.environ.get("ARM_URL", "https://management.azure.com")
server = MCPServer("subscriptions")


@server.tool()
def list_subscriptions(context: Context) -> list[str]:
    """The names of the Azure subscriptions of the user."""
    request = urllib.request.Request(
        f"{ARM}/subscriptions?api-version=2022-12-01",
        headers={"Authorization": context.headers["authorization"]},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return [subscription["displayName"] for subscription in json.load(answer)["value"]]


if __name__ == "__main__":
    # On loopback, and without state: every call brings the token of its own user.
    server.run(
        "streamable-http", host="127.0.0.1", port=int(os.environ.get("PORT", "3000")),
        stateless_http=True, json_response=True,
    )  # fmt: skip
