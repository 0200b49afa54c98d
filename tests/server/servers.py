"""Starts servers for tests, on free ports of this machine, and ends them."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CAIRN = os.environ.get("CAIRN_COMMAND", str(ROOT / "build/release/bin/cairn"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A process that listens on `port`; a context that ends it."""

    def __init__(self, command: list[str], port: int, env: dict | None = None):
        self.port = port
        self.log = tempfile.NamedTemporaryFile(mode="w+", prefix="server-", suffix=".log", delete=False)
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, env=env)
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} did not start:\n{self.read_log()}") from None
                time.sleep(0.005)

    def read_log(self) -> str:
        return pathlib.Path(self.log.name).read_text(errors="replace")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, timeout: float = 30) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()
        self.log.close()
        os.unlink(self.log.name)


def cairn(directory: str, *arguments: str) -> Server:
    port = free_port()
    # Flags with which a whole test can be run again.
    flags = os.environ.get("CAIRN_SERVE_FLAGS", "").split()
    return Server([CAIRN, "serve", directory, "--port", str(port), *flags, *arguments], port)


def on_small_disk(disk: str, size: str, *arguments: str) -> Server | None:
    """cairn serve with an empty file system of `size` ("64m") at `disk`, which no other process sees; None: the system refuses that.
    `arguments` may name directories below `disk`; "copies" is made there."""
    port = free_port()
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size={size} none {disk} && mkdir {disk}/copies"
    if shutil.which("unshare") is None or subprocess.run([*command, mount], capture_output=True, check=False).returncode != 0:
        return None
    return Server([*command, f"{mount} && exec {CAIRN} serve {' '.join(arguments)} --port {port}"], port)


def redis(directory: str, *arguments: str) -> Server:
    """Debian's redis-tools ships the server under another name; it goes by what it is called as."""
    port = free_port()
    program = shutil.which("redis-server")
    if program is None:
        program = str(pathlib.Path(directory) / "redis-server")
        if not os.path.exists(program):
            os.symlink("/usr/bin/redis-check-rdb", program)
    return Server([program, "--port", str(port), "--bind", "127.0.0.1", "--dir", directory, "--save", "", *arguments], port)
