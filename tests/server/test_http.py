#!/usr/bin/env python3
"""HTTP: health, metrics, JSON; who may ask; what hostile clients get."""
import base64
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request

import servers
from resp import Connection


def start(work: str, settings: str = "") -> tuple[servers.Server, int]:
    http = servers.free_port()
    with open(f"{work}/http.toml", "w", encoding="ascii") as out:
        out.write(f"http_port = {http}\n{settings}")
    return servers.cairn(f"{work}/data", "--durability", "kernel", "--config", f"{work}/http.toml"), http


def ask(port: int, path: str, user: str | None = None, method: str = "GET") -> tuple[int, bytes]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    if user:
        request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def answers(work: str) -> None:
    server, port = start(work)
    with server:
        connection = Connection(server.port)
        connection.call("SET", "a", "one")
        connection.call("SET", "a", "two")
        connection.call("SET", b"\xff bytes", b"\x00\xfe")
        connection.call("DEL", "a")
        connection.call("SET", "a", "three", "EX", "1000")

        def get(path: str, **query) -> dict:
            status, body = ask(port, path + "?" + urllib.parse.urlencode(query, quote_via=urllib.parse.quote))
            assert status == 200, (path, status, body)
            return json.loads(body)

        assert ask(port, "/healthz") == (200, b"ok\n") and ask(port, "/readyz") == (200, b"ready\n")
        index = ask(port, "/")[1].decode()
        for path in ("/healthz", "/readyz", "/metrics", "/api/v1/stats", "/api/v1/keys", "/api/v1/jobs"):
            assert f'href="{path}' in index and ask(port, path)[0] == 200, path
        one = get("/api/v1/get", key="a")
        assert one["value"] == "three" and one["expires"] > one["time"] > 1_700_000_000_000
        history = get("/api/v1/history", key="a")["saves"]
        assert [each.get("value", each.get("erased")) for each in history] == ["one", "two", True, "three"]
        assert get("/api/v1/get", key="a", at=history[0]["stamp"])["value"] == "one"
        coded = get("/api/v1/get", key=b"\xff bytes")
        assert base64.b64decode(coded["key64"]) == b"\xff bytes" and base64.b64decode(coded["value64"]) == b"\x00\xfe"
        for i in range(25):
            connection.call("SET", f"page:{i:02}", "x")
        found, cursor = [], None
        while True:
            page = get("/api/v1/keys", prefix="page:", limit=10, **({"cursor": cursor} if cursor else {}))
            found += [each["key"] for each in page["keys"]]
            cursor = page.get("cursor")
            if cursor is None:
                break
        assert found == [f"page:{i:02}" for i in range(25)]
        stats = get("/api/v1/stats")
        assert stats["durability"] == "kernel" and stats["databases"][0]["lines"][0]["saves"] == 30
        metrics = ask(port, "/metrics")[1].decode()
        if shutil.which("promtool"):
            checked = subprocess.run(["promtool", "check", "metrics"], input=metrics, capture_output=True, text=True, check=False)
            assert checked.returncode == 0, checked.stdout + checked.stderr
        assert 'cairn_timeline_writes_total{db="0"} 30' in metrics and "# TYPE cairn_clients gauge" in metrics, metrics
        for path, status in (("/api/v1/get", 400), ("/api/v1/get?key=none", 404), ("/api/v1/get?key=a&at=x", 400), ("/api/v1/keys?db=99", 400), ("/api/v1/keys?db=7", 404),
                             ("/nothing", 404), ("/api/v1/keys?limit=0", 400), ("/api/v1/get?key=%zz", 400)):
            code, body = ask(port, path)
            assert code == status, (path, code, body)
        assert ask(port, "/healthz", method="POST")[0] == 405 and ask(port, "/healthz", method="HEAD") == (200, b"")
        assert server.stop() == 0


def hostile(work: str) -> None:
    server, port = start(work)
    with server:
        for sent in (b"x" * 100_000, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 50_000, b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"\x00\xff\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n"):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
                try:
                    peer.sendall(sent)
                    assert b"400" in peer.recv(1000)
                except OSError:
                    pass
        with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
            peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
            got = b""
            while b"ready\n" not in got:
                got += peer.recv(1000)
            assert got.count(b"200 OK") == 2
        idle = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(300)]
        for peer in idle:
            peer.close()
        assert ask(port, "/healthz") == (200, b"ok\n")
        assert server.stop() == 0


def access(work: str) -> None:
    hashed = subprocess.run([servers.CAIRN, "serve", "--hash-password"], input="secret\n", capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    with open(f"{work}/users.toml", "w", encoding="ascii") as out:
        out.write(f'[[user]]\nname = "app"\npassword = "{hashed}"\nrights = ["read"]\nprefixes = ["app:"]\n')
    server, port = start(work, f'users_file = "{work}/users.toml"\n')
    with server:
        assert ask(port, "/healthz")[0] == 200 and ask(port, "/metrics")[0] == 401 and ask(port, "/metrics", "app:wrong")[0] == 401
        assert ask(port, "/metrics", "app:secret")[0] == 403 and ask(port, "/api/v1/keys?prefix=app:", "app:secret")[0] == 200
        assert ask(port, "/api/v1/keys", "app:secret")[0] == 403 and ask(port, "/api/v1/get?key=other", "app:secret")[0] == 403
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0


if __name__ == "__main__":
    for test in (answers, hostile, access):
        with tempfile.TemporaryDirectory() as directory:
            test(directory)
    print("http: health, metrics, JSON, access, hostile requests")
    sys.exit(0)
