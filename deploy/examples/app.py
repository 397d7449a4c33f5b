"""A service in Python behind obo-gateway: it holds no secret, checks no token, and asks Azure as the user.

What comes is let in already: Authorization has the user's token for Azure Resource Manager, X-Obo-Oid says whose.
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import Request, urlopen

ARM = os.environ.get("ARM_URL", "https://management.azure.com")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/healthz":
            return self.answer(200, {"status": "ok"})
        request = Request(
            f"{ARM}/subscriptions?api-version=2022-12-01",
            headers={"Authorization": self.headers["Authorization"]},
        )
        try:
            with urlopen(request, timeout=30) as answer:
                names = [each["displayName"] for each in json.load(answer)["value"]]
        except HTTPError as error:
            # Azure's challenge has to reach the caller, who alone can answer it: the gateway passes it on.
            return self.answer(error.code, {"error": "azure"}, error.headers.get("WWW-Authenticate"))
        self.answer(200, {"user": self.headers["X-Obo-Oid"], "subscriptions": names})

    def answer(self, status, body, challenge=None):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.end_headers()
        self.wfile.write(text)


if __name__ == "__main__":
    # Loopback alone: whoever reached it past the gateway would not be checked.
    ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "3000"))), Handler).serve_forever()
