"""A server that answers as the Hugging Face hub does, with the folders of one folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve `folder/OWNER/NAME` as models; yields the address, and the list of fetched files."""
    fetched: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._respond(with_body=False)

        def do_GET(self) -> None:
            self._respond(with_body=True)

        def _respond(self, *, with_body: bool) -> None:
            parts = self.path.partition("?")[0].strip("/").split("/")
            headers = {"X-Repo-Commit": COMMIT}
            if parts[:2] == ["api", "models"]:
                model = folder / parts[2] / parts[3]
                if not model.is_dir():
                    self._refuse("RepoNotFound")
                    return
                body = json.dumps(_tree(model) if "tree" in parts else _info(model)).encode()
                headers["Content-Type"] = "application/json"
            else:
                file = folder.joinpath(*parts[:2], *parts[4:])
                if not file.is_file():
                    is_model = folder.joinpath(*parts[:2]).is_dir()
                    self._refuse("EntryNotFound" if is_model else "RepoNotFound")
                    return
                body = file.read_bytes()
                headers["ETag"] = f'"{hashlib.sha1(body).hexdigest()}"'
                if with_body:
                    fetched.append("/".join(parts[4:]))
            self.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def _refuse(self, code: str) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", fetched
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _files(model: Path) -> list[Path]:
    return sorted(path for path in model.rglob("*") if path.is_file())


def _info(model: Path) -> dict[str, object]:
    names = [path.relative_to(model).as_posix() for path in _files(model)]
    return {
        "id": f"{model.parent.name}/{model.name}",
        "sha": COMMIT,
        "siblings": [{"rfilename": name} for name in names],
    }


def _tree(model: Path) -> list[dict[str, object]]:
    return [
        {
            "type": "file",
            "path": path.relative_to(model).as_posix(),
            "size": path.stat().st_size,
            "oid": hashlib.sha1(path.read_bytes()).hexdigest(),
        }
        for path in _files(model)
    ]
