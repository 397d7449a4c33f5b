"""A running entra-emulator: its addresses, its control API, a sign-in without a screen."""

import html
import http.cookiejar
import json
import re
import ssl
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Emulator:
    """Starts the binary on free ports; `ca_file` gets the authority's certificate."""

    def __init__(self, binary, ca_file):
        self.ca_file = str(ca_file)
        self.process = subprocess.Popen(
            [binary, "--listen", "127.0.0.1:0", "--arm-listen", "127.0.0.1:0", "--ca-file", self.ca_file],
            stdout=subprocess.PIPE,
            text=True,
        )
        offer = ""
        for line in self.process.stdout:
            offer += line
            if line.startswith("A token for curl"):
                break
        else:
            raise SystemExit(f"the emulator did not start: {offer}")

        def address(label):
            return re.search(rf"^\s*{label}\s+(https?://\S+)$", offer, re.MULTILINE)[1]

        self.http, self.arm_http = address("Entra ID"), address("Azure Resource Manager")
        self.https, self.arm = address("Entra ID, https"), address("Resource Manager, https")
        self.context = ssl.create_default_context(cafile=self.ca_file)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def control(self, method, path, body=None, base=None):
        request = urllib.request.Request(
            f"{base or self.https}/emulator{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, context=self.context, timeout=10) as response:
            text = response.read()
        return json.loads(text) if text else None

    def token_requests(self):
        return self.control("GET", "/endpoints/token/requests")

    def user_token(self, base=None):
        """Alice's token for the API, as the web app gets it."""
        return self.control("POST", "/token", {"user": "alice"}, base)["token"]

    def sign_in(self, url, username="alice", password="alice-demo"):
        """Follows /authorize as Alice; the address that the browser is sent back to."""
        jar = http.cookiejar.CookieJar()
        opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=self.context),
            urllib.request.HTTPCookieProcessor(jar),
            NoRedirect,
        )
        form = None
        for _ in range(8):
            try:
                with opener.open(url, form, timeout=10) as response:
                    page = response.read().decode()
            except urllib.error.HTTPError as answer:
                location = answer.headers.get("location")
                if location is None:
                    raise RuntimeError(f"{url}: {answer.code} {answer.read().decode()[:400]}") from None
                url, form = urllib.parse.urljoin(url, location), None
                if not url.startswith(self.https):
                    return url
                continue
            fields = {"flow": html.unescape(re.search(r'name="flow" value="([^"]*)"', page)[1])}
            if 'action="/consent"' in page:
                path, fields["decision"] = "/consent", "accept"
            else:
                path, fields["username"], fields["password"] = "/sign-in", username, password
            url, form = self.https + path, urllib.parse.urlencode(fields).encode()
        raise RuntimeError(f"the sign-in does not end: {url}")


def sign_in_server(emulator):
    """Signs in for clients in other languages: POST an address, get the one that it leads to."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            url = self.rfile.read(int(self.headers["content-length"])).decode()
            try:
                status, answer = 200, emulator.sign_in(url)
            except Exception as error:  # said to whoever asked
                status, answer = 500, repr(error)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
