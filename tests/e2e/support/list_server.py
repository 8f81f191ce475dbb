"""Serves one page as the file MODE says: python3 list_server.py DIRECTORY PORT.

MODE holds a word and, for `text`, the page behind it. REQUESTS gets a line for each request. Prints "ready".
"""
import http.server
import pathlib
import socket
import sys

directory = pathlib.Path(sys.argv[1])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, code, body=b"", **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        mode, _, text = (directory / "MODE").read_text().partition("\n")
        with open(directory / "REQUESTS", "a") as requests:
            requests.write(f"{mode} {self.path} {self.headers.get('If-None-Match', '-')}\n")
        page = text.encode()
        if mode == "text" or (mode == "redirect" and self.path == "/other"):
            tag = f'"{hash(text)}"'
            if self.headers.get("If-None-Match") == tag:
                return self.answer(304, ETag=tag)
            return self.answer(200, page, ETag=tag, Content_Type="text/plain")
        if mode == "redirect":
            return self.answer(302, Location="/other")
        if mode == "circle":
            return self.answer(302, Location=self.path)
        if mode == "error":
            return self.answer(503)
        if mode == "html":
            return self.answer(200, b"<html><body>192.0.2.1</body></html>", Content_Type="text/html; charset=utf-8")
        if mode == "disguised":
            return self.answer(200, b"<html><body>\n192.0.2.1\n</body></html>", Content_Type="text/plain")
        if mode == "empty":
            return self.answer(200, b"\n")
        if mode == "truncated":
            self.send_response(200)
            self.send_header("Content-Length", str(len(page) + 1000))
            self.end_headers()
            self.wfile.write(page)
            self.close_connection = True
            return None
        if mode == "unfinished":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page[:-4])
            self.close_connection = True
            return None
        raise SystemExit(f"no such mode: {mode}")

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET


server = Server(("127.0.0.1", int(sys.argv[2])), Handler)
print("ready", flush=True)
server.serve_forever()
