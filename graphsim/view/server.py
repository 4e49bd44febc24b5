"""The pages over HTTP: on 127.0.0.1 alone, below a secret in the address, reading only.

Every address begins with the token that the server made when it started; without it, or under another host name (as a
page elsewhere would reach it by rebinding DNS), a request is refused. Nothing is served but the files named here and
what :mod:`graphsim.view.pages` computes.
"""

from __future__ import annotations

import hmac
import json
import secrets
import socket
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import uvicorn
from jinja2 import Environment, PackageLoader
from plotly.offline import get_plotlyjs
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from graphsim.errors import GraphsimError, UsageError
from graphsim.view import pages
from graphsim.view.subject import Seen, Subject

#: The page may ask nothing of anybody else. Plotly sets styles on elements, and draws images from memory.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}


def application(subject: Subject, token: str, port: int) -> ASGIApp:
    """The pages of a subject, below ``/token/``, for requests to 127.0.0.1 and localhost at this port."""
    runs = [
        ("overview", lambda seen, ask: pages.overview(seen)),
        ("figure", _figure),
        ("wrong", lambda seen, ask: seen.pictures["wrong"]),
        ("graph", lambda seen, ask: pages.graph_page(seen.graph)),
        ("tile", _tile),
        ("actor", lambda seen, ask: pages.actor_page(seen.graph, seen.schedule, ask("name"))),
        ("machine", lambda seen, ask: pages.machine_page(seen.graph, seen.line.schedule)),
        ("node", lambda seen, ask: pages.node_page(seen.graph, seen.line.schedule, ask("name"))),
        ("times", lambda seen, ask: pages.window(seen, _whole(ask, "begin"), _whole(ask, "end"))),
        ("times/of", lambda seen, ask: pages.window(seen, _whole(ask, "begin"), _whole(ask, "end"), _token(ask))),
        ("follow", lambda seen, ask: pages.follow(seen, *_token(ask))),
    ]
    routes = [
        Route("/", _static("index.html")),
        *(Route(f"/{name}", _static(name)) for name in ("view.js", "view.css", "style.css", "draw.js", "plotly.js")),
        Route("/api/subject", lambda request: _json(_subject(subject))),
        *(Route(f"/api/run/{{run}}/{name}", _answer(subject, made)) for name, made in runs),
    ]
    app = Starlette(routes=[Mount(f"/{token}", routes=routes)])
    return _Guard(app, token, {f"{host}:{port}" for host in ("127.0.0.1", "localhost")})


class _Guard:
    """Refuses requests that do not come from the page's own address."""

    def __init__(self, app: ASGIApp, token: str, hosts: set[str]) -> None:
        self.app, self.token, self.hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope)
        if refusal is not None:
            status, text = refusal
            await Response(text + "\n", status, _HEADERS, "text/plain")(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        host = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(host) != 1 or host[0] not in self.hosts:
            return 403, "refused: this is graphsim view, which answers at the address that it printed, and no other"
        parts = scope["path"].split("/")
        if ".." in parts or "\\" in scope["path"] or "\0" in scope["path"]:
            return 404, "not found"
        if len(parts) < 2 or not hmac.compare_digest(parts[1].encode(), self.token.encode()):
            return 403, "refused: the address must begin with the token that graphsim view printed"
        return None


Ask = Callable[[str], str]


def _answer(subject: Subject, made: Callable[[Seen, Ask], Any]) -> Callable[[Request], Response]:
    """An endpoint: it runs in a thread, and what is wrong with the request is said in words."""

    def endpoint(request: Request) -> Response:
        def ask(name: str) -> str:
            if name not in request.query_params:
                raise UsageError(f"the address lacks {name}=")
            return request.query_params[name]

        try:
            seen = subject.seen(request.path_params["run"])
        except KeyError:
            raise HTTPException(404, "no such run") from None
        except GraphsimError as error:
            return _json({"error": str(error)}, 422)
        try:
            return _json(made(seen, ask))
        except GraphsimError as error:
            return _json({"error": str(error)}, 422)

    return endpoint


def _whole(ask: Ask, name: str) -> int:
    text = ask(name)
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise UsageError(f"{name}={text[:40]!r}: expected a whole number")
    return int(text)


def _token(ask: Ask) -> tuple[str, int]:
    return ask("name"), _whole(ask, "iteration")


def _figure(seen: Seen, ask: Ask) -> Any:
    name = ask("name")
    if name not in seen.pictures["figures"]:
        raise UsageError(f"there is no figure {name[:40]!r}")
    return seen.pictures["figures"][name]


def _tile(seen: Seen, ask: Ask) -> Any:
    rows, columns = (_whole(ask, "row"), _whole(ask, "row_end")), (_whole(ask, "column"), _whole(ask, "column_end"))
    return pages.tile(seen.graph, seen.schedule, _whole(ask, "group"), ask("shade"), rows, columns)


def _subject(subject: Subject) -> dict[str, Any]:
    if subject.rows is None:
        circuit = subject.run is not None and "stimulus" in subject.run.record
        return {"kind": "run", "folder": str(subject.folder), "circuit": circuit}
    return {"kind": "sweep", "folder": str(subject.folder), "rows": subject.rows}


def _json(document: Any, status: int = 200) -> Response:
    try:
        text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    except ValueError:
        status, text = 422, '{"error": "the folder has numbers that are none; run --report again"}'
    return Response(text, status, _HEADERS, "application/json")


def _static(name: str) -> Callable[[Request], Response]:
    """One of the files of the page. What it has in common with report.html is the report's."""

    def endpoint(request: Request) -> Response:
        if name == "plotly.js":
            text = get_plotlyjs()
        elif name in ("style.css", "draw.js"):
            text = Environment(loader=PackageLoader("graphsim.report")).get_template(name).render()
        else:
            text = (files("graphsim.view") / "static" / name).read_text(encoding="utf-8")
        return Response(text, 200, _HEADERS, _TYPES[name.rsplit(".")[-1]])

    return endpoint


class Server:
    """A server that is bound to its port, and runs when told to.

    Attributes:
        address: what to open; holds the token.
    """

    def __init__(self, subject: Subject, port: int = 0) -> None:
        """Bind.

        Args:
            port: 0 takes any that is free.

        Raises:
            UsageError: the port cannot be had.
        """
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(("127.0.0.1", port))
            self._socket.listen(128)  # who comes before the server runs waits
        except OSError as error:
            self._socket.close()
            raise UsageError(f"--port {port}: cannot be had ({error.strerror}); choose another") from None
        taken = self._socket.getsockname()[1]
        token = secrets.token_urlsafe(16)
        self.address = f"http://127.0.0.1:{taken}/{token}/"
        app = application(subject, token, taken)
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", ws="none")
        )

    def run(self) -> None:
        """Serve until interrupted, or until :meth:`stop`."""
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """End :meth:`run`, from another thread."""
        self._server.should_exit = True


def serve(subject: Subject, port: int = 0, opened: Callable[[str], None] | None = None) -> None:
    """Serve a subject until interrupted.

    Args:
        opened: is given the address before the first request is served.
    """
    server = Server(subject, port)
    if opened is not None:
        opened(server.address)
    server.run()
