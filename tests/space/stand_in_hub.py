"""Stands for the Hub where somebody logs in: the few addresses of OpenID Connect that a Space needs, on the loopback address."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey


class Hub:
    """`name` is who consents at the next visit."""

    def __init__(self) -> None:
        self.name, self.key = "", RSAKey.generate_key(2048, {"kid": "one"}, private=True)
        self._consents: dict[str, tuple[str, str]] = {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub._get(self)

            def do_POST(self) -> None:
                hub._token(self)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def variables(self) -> dict[str, str]:
        """What the Hub gives a Space with `hf_oauth: true`."""
        return {
            "OAUTH_CLIENT_ID": "the-space", "OAUTH_CLIENT_SECRET": "known to the Hub and the Space",
            "OAUTH_SCOPES": "openid profile", "OPENID_PROVIDER_URL": self.url,
        }  # fmt: skip

    def _get(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/.well-known/openid-configuration":
            _answer(handler, {
                "issuer": self.url, "authorization_endpoint": f"{self.url}/authorize", "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys", "id_token_signing_alg_values_supported": ["RS256"],
            })  # fmt: skip
        elif parts.path == "/keys":
            _answer(handler, {"keys": [self.key.as_dict(private=False)]})
        elif parts.path == "/authorize":
            code = f"code-{len(self._consents)}"
            self._consents[code] = self.name, asked["nonce"]
            join = "&" if "?" in asked["redirect_uri"] else "?"
            handler.send_response(302)
            back = urlencode({"code": code, "state": asked["state"]})
            handler.send_header("Location", f"{asked['redirect_uri']}{join}{back}")
            handler.end_headers()
        else:
            handler.send_error(404)

    def _token(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
        name, nonce = self._consents.pop(parse_qs(body)["code"][0])
        now = int(time.time())
        told = {
            "iss": self.url, "aud": "the-space", "sub": name, "iat": now, "exp": now + 3600, "nonce": nonce,
            "name": name, "preferred_username": name, "profile": f"{self.url}/{name}", "picture": "",
        }  # fmt: skip
        signed = jwt.encode({"alg": "RS256", "kid": "one"}, told, self.key)
        _answer(
            handler, {"access_token": "x", "token_type": "bearer", "expires_in": 3600, "id_token": signed}
        )


def _answer(handler: BaseHTTPRequestHandler, document: dict[str, Any]) -> None:
    body = json.dumps(document).encode()
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
