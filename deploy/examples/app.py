"""A service in Python behind obo-gateway: it holds no secret, checks no token, and asks Azure as the user.

What comes is let in already: Authorization has the user's token for Azure Resource Manager, X-Obo-Oid says whose.
"""

import json
import os
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

ARM = os.environ.get("ARM_URL", "https://management.azure.com").rstrip("/")


class Stay(HTTPRedirectHandler):
    """urllib would take the user's token along to wherever a redirect points."""

    def redirect_request(self, *_):
        return None


AZURE = build_opener(Stay)


def subscriptions(authorization):
    """The names of all of them: Azure answers in pages."""
    names, url = [], f"{ARM}/subscriptions?api-version=2022-12-01"
    while url:
        # The token is for Azure alone.
        if not url.startswith(ARM + "/"):
            raise ValueError("the next page is elsewhere")
        with AZURE.open(Request(url, headers={"Authorization": authorization}), timeout=30) as answer:
            page = json.load(answer)
        names += [each["displayName"] for each in page["value"]]
        url = page.get("nextLink")
    return names


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/healthz":
            return self.answer(200, {"status": "ok"})
        try:
            names = subscriptions(self.headers["Authorization"])
        except HTTPError as error:
            if error.code < 400:
                return self.answer(502, {"error": "azure"})
            # Azure's challenge has to reach the caller, who alone can answer it: the gateway passes it on. So has the time to wait.
            passed_on = ("WWW-Authenticate", "Retry-After")
            headers = [(name, value) for name in passed_on for value in error.headers.get_all(name, [])]
            return self.answer(error.code, {"error": "azure"}, headers)
        except (OSError, HTTPException, ValueError, KeyError) as error:
            # Away, too slow, cut off, or no such list.
            self.log_error("Azure: %s", error)
            return self.answer(502, {"error": "azure"})
        self.answer(200, {"user": self.headers["X-Obo-Oid"], "subscriptions": names})

    def answer(self, status, body, headers=()):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)


if __name__ == "__main__":
    # Loopback alone: whoever reached it past the gateway would not be checked.
    ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "3000"))), Handler).serve_forever()
