"""A small client of the Redis protocol for tests: sends requests, gives back replies as they are on the wire."""
import socket


class ReplyError(str):
    """An error reply; its text."""


class Push(list):
    """A push message of version 3."""


class Connection:
    def __init__(self, port: int, timeout: float = 30.0):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", buffering=1 << 16)

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def send(self, *requests: list) -> None:
        self.socket.sendall(b"".join(encode(request) for request in requests))

    def call(self, *arguments):
        self.send(list(arguments))
        return self.read()

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError(f"the server closed the connection; {line!r}")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return ReplyError(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind in b"$=":
            size = int(rest)
            if size < 0:
                return None
            data = self.file.read(size + 2)
            if len(data) != size + 2:
                raise ConnectionError("the server closed the connection within a reply")
            return data[4:-2] if kind == b"=" else data[:-2]
        if kind in b"*~>":
            count = int(rest)
            if count < 0:
                return None
            values = [self.read() for _ in range(count)]
            return Push(values) if kind == b">" else values
        if kind == b"%":
            return {_frozen(self.read()): self.read() for _ in range(int(rest))}
        if kind == b"_":
            return None
        if kind == b"#":
            return rest == b"t"
        if kind == b",":
            return float(rest)
        raise ValueError(f"no reply begins like this: {line!r}")


def _frozen(value):
    return tuple(value) if isinstance(value, list) else value


def encode(request: list) -> bytes:
    parts = [b"*%d\r\n" % len(request)]
    for argument in request:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)
