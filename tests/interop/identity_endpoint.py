"""Where Azure gives out tokens of managed identities, in its two forms: the Instance Metadata Service of virtual
machines, and the endpoint of App Service. It keeps what it was asked."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# The client id of the identity, and what App Service wants to see of its own.
IDENTITY = "1de00000-0000-4000-8000-00000000001d"
HEADER = "interop-identity-header"
MACHINE, APP_SERVICE = "/metadata/identity/oauth2/token", "/msi/token"


class IdentityEndpoint:
    def __init__(self, token):
        self.requests = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                url = urlsplit(self.path)
                headers = [(name.lower(), value) for name, value in self.headers.items()]
                endpoint.requests.append(
                    {"method": "GET", "path": url.path, "query": url.query, "headers": headers, "body": ""}
                )
                given = dict(headers)
                allowed = {
                    MACHINE: given.get("metadata") == "true",
                    APP_SERVICE: given.get("x-identity-header") == HEADER,
                }
                if allowed.get(url.path):
                    status, body = 200, {
                        "access_token": token,
                        "client_id": IDENTITY,
                        "expires_in": "3599",
                        "expires_on": str(int(time.time()) + 3599),
                        "resource": "api://AzureADTokenExchange",
                        "token_type": "Bearer",
                    }
                else:
                    status, body = 400, {"error": "invalid_request", "error_description": "not so"}
                answer = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}"

    def taken(self):
        """What it was asked since the last time."""
        taken, self.requests = self.requests, []
        return taken

    def variables(self):
        """What the platform sets, by its name."""
        return {
            "virtual machine": {"AZURE_POD_IDENTITY_AUTHORITY_HOST": self.url},
            "App Service": {"IDENTITY_ENDPOINT": self.url + APP_SERVICE, "IDENTITY_HEADER": HEADER},
        }
