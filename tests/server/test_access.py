#!/usr/bin/env python3
"""Users, their rights and prefixes; TLS with certificates of clients; what SIGHUP reads anew."""
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import servers
from resp import Connection, ReplyError


def raises(reply, begin: str) -> None:
    assert isinstance(reply, ReplyError) and reply.startswith(begin), reply


def hashed(password: str) -> str:
    return subprocess.run([servers.CAIRN, "serve", "--hash-password"], input=password + "\n", capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def user(name: str, password: str, rights: str, prefixes: str = "") -> str:
    return f'[[user]]\nname = "{name}"\npassword = "{password}"\nrights = [{rights}]\n' + (f"prefixes = [{prefixes}]\n" if prefixes else "")


def eventually(check, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def users(work: str) -> None:
    secret, other = hashed("secret"), hashed("other")
    assert secret.startswith("scrypt:16384:8:1:") and secret != hashed("secret")
    file = f"{work}/users.toml"

    def write(text: str) -> None:
        with open(file, "w", encoding="ascii") as out:
            out.write(text)

    write(user("default", secret, '"read", "write", "admin"') + user("app", other, '"read", "write"', '"app:", "shared:"') + user("viewer", other, '"read"'))
    with open(f"{work}/config.toml", "w", encoding="ascii") as out:
        out.write(f'users_file = "{file}"\n')
    with servers.cairn(f"{work}/data", "--durability", "kernel", "--config", f"{work}/config.toml") as server:
        def connect(*credentials) -> Connection:
            connection = Connection(server.port)
            if credentials:
                assert connection.call("AUTH", *credentials) == "OK"
            return connection

        nobody = connect()
        for command in (["GET", "a"], ["SET", "a", "1"], ["PING"], ["MULTI"], ["CLIENT", "LIST"], ["TL.STATS"]):
            raises(nobody.call(*command), "NOAUTH")
        raises(nobody.call("HELLO", "3"), "NOAUTH")
        raises(nobody.call("AUTH", "wrong"), "WRONGPASS")
        raises(nobody.call("AUTH", "nobody", "secret"), "WRONGPASS")
        nobody.send(["AUTH", "secret"], ["PING"], ["SET", "a", "1"], ["ACL", "WHOAMI"])
        assert [nobody.read() for _ in range(4)] == ["OK", "PONG", "OK", b"default"]
        assert nobody.call("RESET") == "RESET"
        raises(nobody.call("GET", "a"), "NOAUTH")
        large = connect()
        large.send(["SET", "a", b"x" * 20_000])
        raises(large.read(), "ERR Protocol error: unauthenticated bulk length")

        app = connect("app", "other")
        assert app.call("SET", "app:1", "x") == "OK" and app.call("ACL", "WHOAMI") == b"app"
        for command in (["GET", "a"], ["MSET", "app:2", "1", "a", "2"], ["RENAME", "app:1", "a"], ["KEYS", "*"], ["SCAN", "0"], ["DBSIZE"], ["RANDOMKEY"], ["TL.KEYS", "", "-", "+"],
                        ["TL.WATCH", "a"], ["FLUSHALL"], ["TL.ROLLBACK", "1"], ["CONFIG", "GET", "*"], ["CLIENT", "KILL", "ID", "1"], ["TABLE.SCAN", "t"]):
            raises(app.call(*command), "NOPERM")
        assert app.call("KEYS", "app:*") == [b"app:1"] and app.call("SCAN", "0", "MATCH", "app:*")[1] == [b"app:1"]
        raises(app.call("SCAN", "0", "COUNT", "10", "MATCH", "*"), "NOPERM")
        raises(app.call("SCAN", "0", "MATCH", "app:*", "MATCH", "*"), "NOPERM")
        assert app.call("MULTI") == "OK"
        raises(app.call("SET", "a", "2"), "NOPERM")
        raises(app.call("EXEC"), "EXECABORT")
        viewer = Connection(server.port)
        assert viewer.call("HELLO", "3", "AUTH", "viewer", "other")[b"proto"] == 3
        assert viewer.call("GET", "app:1") == b"x"
        raises(viewer.call("SET", "app:1", "y"), "NOPERM")
        begin = time.monotonic()
        for _ in range(50):
            connect("app", "other").close()
        assert time.monotonic() - begin < 2.2, "who has proved the password waits again"

        # What is wrong changes nothing; what is right holds at once, for those who are connected too.
        write("nonsense")
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: "stay as they were" in server.read_log())
        assert app.call("GET", "app:1") == b"x"
        write(user("default", secret, '"read", "write", "admin"') + user("app", other, '"read"', '"app:"'))
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: isinstance(app.call("SET", "app:1", "y"), ReplyError))
        raises(viewer.call("GET", "app:1"), "NOAUTH")
        assert connect("secret").call("CLIENT", "KILL", "ID", "1") in (0, 1)
        assert server.stop() == 0


def certificates(work: str) -> None:
    def run(*command: str) -> None:
        subprocess.run(["openssl", *command], check=True, capture_output=True, cwd=work, timeout=60)
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "authority.key", "-out", "authority.crt", "-subj", "/CN=authority", "-days", "2")
    for name in ("server", "client"):
        run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "authority.crt", "-CAkey", "authority.key", "-CAcreateserial", "-out", f"{name}.crt", "-days", "2")


class TlsConnection(Connection):
    def __init__(self, port: int, context: ssl.SSLContext):
        raw = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket = context.wrap_socket(raw)
        self.file = self.socket.makefile("rb")


def tls(work: str) -> None:
    certificates(work)
    settings = f'tls_certificate = "{work}/server.crt"\ntls_key = "{work}/server.key"\ntls_client_authority = "{work}/authority.crt"\n'
    with open(f"{work}/tls.toml", "w", encoding="ascii") as out:
        out.write(settings)
    context = ssl.create_default_context(cafile=f"{work}/authority.crt")
    context.check_hostname = False
    stranger = ssl.create_default_context(cafile=f"{work}/authority.crt")
    stranger.check_hostname = False
    context.load_cert_chain(f"{work}/client.crt", f"{work}/client.key")
    with servers.cairn(f"{work}/tls-data", "--durability", "kernel", "--config", f"{work}/tls.toml") as server:
        connection = TlsConnection(server.port, context)
        value = os.urandom(3_000_000)
        assert connection.call("SET", "large", value) == "OK" and connection.call("GET", "large") == value
        connection.send(*([["SET", f"k{i}", i] for i in range(3000)] + [["GET", f"k{i}"] for i in range(3000)]))
        assert [connection.read() for _ in range(6000)][3000:] == [b"%d" % i for i in range(3000)]
        try:
            TlsConnection(server.port, stranger).call("GET", "large")
            raise AssertionError("a client without a certificate was served")
        except (OSError, ConnectionError):
            pass
        plain = Connection(server.port)
        try:
            raise AssertionError(plain.call("GET", "large"))
        except (OSError, ConnectionError, ValueError):
            pass
        assert connection.call("PING") == "PONG"
        done = subprocess.run(["redis-cli", "-p", str(server.port), "--tls", "--cacert", f"{work}/authority.crt", "--cert", f"{work}/client.crt", "--key", f"{work}/client.key", "GET", "k7"],
                              capture_output=True, text=True, check=False, timeout=20)
        assert done.stdout == "7\n", done
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: "read anew" in server.read_log())
        assert TlsConnection(server.port, context).call("GET", "k8") == b"8"
        assert server.stop() == 0


def addresses(work: str) -> None:
    """It listens where others can reach it only if it can tell them apart."""
    def check(text: str) -> int:
        with open(f"{work}/bind.toml", "w", encoding="ascii") as out:
            out.write(f'dir = "{work}/d"\nbind = ["0.0.0.0"]\n{text}')
        return subprocess.run([servers.CAIRN, "serve", "--check-config", "--config", f"{work}/bind.toml"], capture_output=True, check=False, timeout=30).returncode
    assert check("") == 2
    assert check(f'users_file = "{work}/users.toml"\n') == 0
    assert check(f'users_file = "{work}/missing.toml"\n') == 2
    assert check(f'tls_certificate = "{work}/server.crt"\n') == 2
    assert check(f'tls_certificate = "{work}/server.crt"\ntls_key = "{work}/client.csr"\n') == 2
    assert check(f'tls_certificate = "{work}/server.crt"\ntls_key = "{work}/server.key"\ntls_client_authority = "{work}/authority.crt"\n') == 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        for test in (users, tls, addresses):
            test(directory)
    print("access: users, rights, prefixes, TLS, certificates, SIGHUP, addresses")
    sys.exit(0)
