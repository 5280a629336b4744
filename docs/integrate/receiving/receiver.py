import os
import sqlite3
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from verify import Refused, verify

SECRETS = os.environ["WEBHOOK_SECRETS"].split()  # the newest, and for a while the one before
LONGEST = 1024 * 1024


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        if length > LONGEST:
            self.close_connection = True
            return self.answer(413)
        body = self.rfile.read(length)
        try:
            identifier = verify(self.headers, body, SECRETS)
        except Refused:
            return self.answer(401)
        keep(identifier, body)
        return self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass  # the path may hold confidential data


def keep(identifier, body):
    """Record a delivery and its task, once: another program takes it from there."""
    database = sqlite3.connect(os.environ["DATABASE"])
    try:
        with database:  # one transaction
            database.execute(
                "CREATE TABLE IF NOT EXISTS inbox (id TEXT PRIMARY KEY, body BLOB, done INTEGER DEFAULT 0)"
            )
            database.execute("INSERT OR IGNORE INTO inbox (id, body) VALUES (?, ?)", (identifier, body))
    finally:
        database.close()


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Receiver)
    print(f"listening on port {server.server_port}", flush=True)
    server.serve_forever()
