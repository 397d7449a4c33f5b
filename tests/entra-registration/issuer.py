"""A cluster as Entra ID knows it: who issues the tokens of its service accounts, and what they are signed with."""

import base64
import datetime
import http.server
import json
import ssl
import threading
import time

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

KID = "cluster-1"


class Issuer:
    """Its documents over https, as AKS has them, and tokens as the kubelet puts them into a pod."""

    def __init__(self, folder):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        # Whoever asks it has to trust this file.
        self.certificate = folder / "issuer.pem"
        private = folder / "issuer.key"
        self.write_certificate(private)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, private)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self.url = f"https://localhost:{server.server_port}/cluster"
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def write_certificate(self, private):
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.timezone.utc)
        certificate = (
            x509.CertificateBuilder(name, name, self.key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        self.certificate.write_bytes(certificate.public_bytes(pem))
        private.write_bytes(self.key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    def documents(self):
        numbers = self.key.public_key().public_numbers()

        def member(number):
            octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
            return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()

        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KID, "n": member(numbers.n), "e": member(numbers.e)}
        return {
            "/cluster/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/openid/v1/jwks"},
            "/cluster/openid/v1/jwks": {"keys": [key]},
        }

    def handler(issuer):  # noqa: N805
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                document = issuer.documents().get(self.path)
                text = json.dumps(document).encode()
                self.send_response(200 if document else 404)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        return Handler

    def token(self, subject, audience="api://AzureADTokenExchange"):
        now = int(time.time())
        claims = {"iss": self.url, "sub": subject, "aud": [audience], "iat": now, "nbf": now, "exp": now + 3600}
        return jwt.encode(claims, self.key, "RS256", headers={"kid": KID})
