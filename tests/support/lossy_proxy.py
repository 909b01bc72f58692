"""A proxy before PostgreSQL that can lose the answer to a COMMIT, or the COMMIT itself."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Literal

from sqlalchemy import make_url

Loss = Literal["answer", "commit"]


class LossyProxy:
    """Pass bytes on until a COMMIT comes while `lose` is set; then end that connection, once.

    :ivar lose: `"answer"`: the server gets the COMMIT and its answer is dropped; `"commit"`: it never gets it.
    :ivar lost: how many connections were ended.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self._server = (parsed.host or "127.0.0.1", parsed.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = parsed.set(host="127.0.0.1", port=self._listener.getsockname()[1])
        self.lose: Loss | None = None
        self.lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            silent = threading.Event()
            threading.Thread(target=self._to_server, args=(client, server, silent), daemon=True).start()
            threading.Thread(target=self._to_client, args=(server, client, silent), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket, silent: threading.Event) -> None:
        try:
            while data := client.recv(65536):
                if self.lose is not None and b"COMMIT" in data:
                    loss, self.lose = self.lose, None
                    self.lost += 1
                    silent.set()
                    if loss == "answer":
                        server.sendall(data)
                        time.sleep(0.2)  # until it has committed
                    break
                server.sendall(data)
        except OSError:
            pass
        _end(client, server)

    def _to_client(self, server: socket.socket, client: socket.socket, silent: threading.Event) -> None:
        try:
            while data := server.recv(65536):
                if not silent.is_set():
                    client.sendall(data)
        except OSError:
            pass
        if not silent.is_set():
            _end(client, server)


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
