#!/usr/bin/env python3
"""Copies of a running server: what they hold, how they are asked for, which are removed, and what a full disk and a kill leave."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import servers
from resp import Connection, ReplyError


def refused(reply, words: str) -> None:
    assert isinstance(reply, ReplyError) and words in reply, reply


def info(connection: Connection) -> dict[str, str]:
    lines = connection.call("INFO", "persistence").decode().split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


def wait(connection: Connection, status: str = "ok") -> dict[str, str]:
    deadline = time.monotonic() + 60
    while True:
        now = info(connection)
        if now["rdb_bgsave_in_progress"] == "0" and now["rdb_last_bgsave_time_sec"] != "-1" or now["rdb_last_bgsave_status"] == "err":
            break
        assert time.monotonic() < deadline, now
        time.sleep(0.02)
    assert now["rdb_last_bgsave_status"] == status, now
    return now


def copies(folder: str) -> list[str]:
    return sorted(each.name for each in pathlib.Path(folder).iterdir() if each.is_dir())


def restored(folder: str, name: str, target: str) -> str:
    record = pathlib.Path(f"{folder}/{name}.toml")
    base = ""
    if record.exists():
        base = next(line for line in record.read_text().splitlines() if line.startswith("base")).split('"')[1]
    over = ["--base", f"{folder}/{base}"] if base else []
    subprocess.run([servers.CAIRN, "restore", f"{folder}/{name}", target, "--verify", *over], check=True)
    subprocess.run([servers.CAIRN, "verify", target], check=True, capture_output=True)
    return base


def value(directory: str, key: str) -> str:
    found = subprocess.run([servers.CAIRN, "timeline", "get", directory, key, "--raw"], capture_output=True, text=True, check=False)
    return found.stdout


def asking(work: str) -> None:
    with servers.cairn(f"{work}/none") as server:
        connection = Connection(server.port)
        for command in (["BGSAVE"], ["BGSAVE", "SCHEDULE"], ["CHECKPOINT", "x"]):
            refused(connection.call(*command), "ERR no backup_directory is set")
        assert abs(connection.call("LASTSAVE") - time.time()) < 30
    folder = f"{work}/asked"
    os.mkdir(folder)
    with servers.cairn(f"{work}/db", "--backup-directory", folder, "--durability", "kernel") as server:
        connection = Connection(server.port)
        connection.call("SET", "k", "1")
        started = connection.call("LASTSAVE")
        time.sleep(1.1)
        assert connection.call("BGSAVE") == "Background saving started"
        now = wait(connection)
        assert connection.call("LASTSAVE") > started and now["backup_last_name"] in copies(folder)
        refused(connection.call("BGSAVE", "NOW"), "ERR syntax error")
        for name in ("../x", "a/b", ".hidden", "", "x" * 65, "a b"):
            refused(connection.call("CHECKPOINT", name), "is no name of a copy")
        assert connection.call("CHECKPOINT", "before-upgrade") == "Background saving started"
        wait_for(lambda: "before-upgrade" in copies(folder))
        refused(connection.call("CHECKPOINT", "before-upgrade"), "named 'before-upgrade' in backup_directory already")
        wait(connection)
        connection.send(["BGSAVE"], ["BGSAVE"], ["BGSAVE", "SCHEDULE"])
        replies = [connection.read() for _ in range(3)]
        assert replies[0] == "Background saving started" and replies[2] in ("Background saving scheduled", "Background saving started"), replies
        if isinstance(replies[1], ReplyError):
            refused(replies[1], "ERR Background save already in progress")
        wait_for(lambda: len(copies(folder)) >= 3)  # One that has not begun is the one that was to follow.
        second = subprocess.run([servers.CAIRN, "serve", f"{work}/db2", "--port", "0", "--backup-directory", folder], capture_output=True, text=True, check=False, timeout=30)
        assert second.returncode == 3 and "is used by another server" in second.stderr, second.stderr
        assert server.stop() == 0
    for wrong, words in ((f"{work}/missing", "is not a directory"), (f"{work}/db", "lies in the directory of the database")):
        tried = subprocess.run([servers.CAIRN, "serve", f"{work}/db", "--port", "0", "--backup-directory", wrong], capture_output=True, text=True, check=False, timeout=30)
        assert tried.returncode == 2 and words in tried.stderr, tried.stderr


def wait_for(holds) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def under_load(work: str) -> None:
    """Each copy opens and holds one moment that is not before the call: what was acknowledged before it, and of two keys that are
    always changed together both or none."""
    folder = f"{work}/load"
    os.mkdir(folder)
    with servers.cairn(f"{work}/busy", "--backup-directory", folder, "--durability", "kernel", "--backup-keep", "100", "--backup-incrementals", "2") as server:
        ended = threading.Event()
        acknowledged = [0] * 3

        def write(number: int) -> None:
            connection = Connection(server.port)
            while not ended.is_set():
                connection.send(["MULTI"], ["INCR", f"a{number}"], ["INCR", f"b{number}"], ["SET", f"fill{acknowledged[number] % 1000}", "x" * 500], ["EXEC"])
                acknowledged[number] = [connection.read() for _ in range(5)][-1][0]

        writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
        for writer in writers:
            writer.start()
        connection = Connection(server.port)
        names = []
        try:
            for _ in range(5):
                time.sleep(0.3)
                before = list(acknowledged)
                assert connection.call("BGSAVE") == "Background saving started"
                names.append((wait(connection)["backup_last_name"], before))
        finally:
            ended.set()
            for writer in writers:
                writer.join()
        assert server.stop() == 0, server.read_log()
    bases = []
    for i, (name, before) in enumerate(names):
        bases.append(restored(folder, name, f"{work}/restored{i}"))
        for number, count in enumerate(before):
            one, other = value(f"{work}/restored{i}", f"a{number}"), value(f"{work}/restored{i}", f"b{number}")
            assert one == other and int(one or 0) >= count, (name, one, other, count)
    assert bases == ["", names[0][0], names[0][0], "", names[3][0]], bases


def schedule(work: str) -> None:
    """Only copies that the server made are removed, a base stays as long as it is needed, and copies made after a restore are right."""
    folder = f"{work}/kept"
    os.mkdir(folder)
    os.mkdir(f"{folder}/foreign")
    pathlib.Path(f"{folder}/foreign.toml").write_text('name = "foreign"\ndatabase = "/elsewhere"\n')
    flags = ("--backup-directory", folder, "--backup-every", "1s", "--backup-keep", "2", "--backup-incrementals", "3", "--durability", "kernel")
    with servers.cairn(f"{work}/scheduled", *flags) as server:
        connection = Connection(server.port)
        connection.call("SET", "k", "v1")
        wait_for(lambda: len(copies(folder)) >= 2)
        wait_for(lambda: server.read_log().count("event=backup_removed") >= 3)
        names = [name for name in copies(folder) if name not in ("foreign", "mine")]
        assert 2 <= len(names) <= 4, names
        connection.call("SET", "k", "v2")
        made = info(connection)["backup_last_name"]
        wait_for(lambda: info(connection)["backup_last_name"] > made)
        last = info(connection)["backup_last_name"]
        assert server.stop() == 0
    assert "foreign" in copies(folder)
    restored(folder, last, f"{work}/back")
    assert value(f"{work}/back", "k") == "v2"
    shutil.rmtree(f"{work}/scheduled")
    subprocess.run([servers.CAIRN, "restore", f"{work}/back", f"{work}/scheduled"], check=True)
    with servers.cairn(f"{work}/scheduled", *flags) as server:
        connection = Connection(server.port)
        connection.call("SET", "k", "v3")
        made = info(connection)["backup_last_name"]
        wait_for(lambda: info(connection)["backup_last_name"] > made)
        made = info(connection)["backup_last_name"]
        wait_for(lambda: info(connection)["backup_last_name"] > made)
        last = info(connection)["backup_last_name"]
        assert server.stop() == 0
    restored(folder, last, f"{work}/again")
    assert value(f"{work}/again", "k") == "v3"


def another_database(work: str) -> None:
    """A new database at the same place removes no copy of the one that was there; a clock that was ahead neither stops the schedule
    nor removes what is new."""
    folder = f"{work}/another"
    os.mkdir(folder)
    flags = ("--backup-directory", folder, "--backup-keep", "2", "--backup-incrementals", "0", "--durability", "kernel")
    for turn in range(2):
        with servers.cairn(f"{work}/place", *flags) as server:
            connection = Connection(server.port)
            connection.call("SET", "k", f"v{turn}")
            for _ in range(3):
                made = info(connection)["backup_last_name"]
                connection.call("BGSAVE")
                wait_for(lambda: wait(connection)["backup_last_name"] > made)
            assert len(copies(folder)) == 2 * (turn + 1), copies(folder)
            assert server.stop() == 0
        os.rename(f"{work}/place", f"{work}/gone{turn}")
    os.rename(f"{work}/gone1", f"{work}/place")
    for record in pathlib.Path(folder).glob("*.toml"):
        lines = ["made_ms = 1930000000000" if line.startswith("made_ms") else line for line in record.read_text().splitlines()]
        record.write_text("\n".join(lines) + "\n")
    with servers.cairn(f"{work}/place", *flags, "--backup-every", "1s") as server:
        connection = Connection(server.port)
        for _ in range(2):
            made = info(connection)["backup_last_name"]
            wait_for(lambda: info(connection)["backup_last_name"] > made and info(connection)["rdb_bgsave_in_progress"] == "0")
            assert info(connection)["backup_last_name"] in copies(folder), (info(connection), copies(folder))
        assert server.stop() == 0


def killed(work: str) -> None:
    """SIGKILL while a copy is made: the next start removes what is half, and copies that are whole stay."""
    folder = f"{work}/killed"
    os.mkdir(folder)
    for turn in range(6):
        with servers.cairn(f"{work}/victim", "--backup-directory", folder, "--durability", "kernel", "--backup-incrementals", "0") as server:
            assert not [name for name in copies(folder) if name.startswith(".")], copies(folder)
            connection = Connection(server.port)
            for i in range(200):
                connection.call("SET", f"k{i}", os.urandom(50_000) if turn == 0 else "x")
            connection.call("BGSAVE")
            if turn % 2 == 0:
                wait(connection)
                connection.call("BGSAVE")
            time.sleep(turn * 0.004)
            server.kill()
    whole = [name for name in copies(folder) if not name.startswith(".")]
    assert len(whole) >= 3, copies(folder)
    for i, name in enumerate(whole):
        restored(folder, name, f"{work}/whole{i}")


def a_full_disk(work: str) -> bool:
    disk = f"{work}/small"
    os.mkdir(disk)
    server = servers.on_small_disk(disk, "4m", f"{work}/large", "--durability", "kernel", "--backup-directory", f"{disk}/copies")
    if server is None:
        return False
    with server:
        connection = Connection(server.port)
        connection.call("SET", "k", "small")
        assert connection.call("CHECKPOINT", "old") == "Background saving started"
        wait(connection)
        for i in range(100):
            connection.call("SET", f"k{i}", os.urandom(100_000))
        assert connection.call("CHECKPOINT", "new") == "Background saving started"
        now = wait(connection, "err")
        assert "No space left on device" in now["backup_last_error"], now
        inside = f"/proc/{server.process.pid}/root{disk}/copies"
        assert sorted(name for name in os.listdir(inside) if not name.startswith(".")) == ["old"], os.listdir(inside)
        assert not [name for name in os.listdir(inside) if name.startswith(".making")], os.listdir(inside)
        assert connection.call("SET", "after", "1") == "OK"
        assert "event=backup_failed name=new" in server.read_log()
    return True


def over_http(work: str) -> None:
    folder = f"{work}/http"
    os.mkdir(folder)
    users = f"{work}/users.toml"
    hashed = subprocess.run([servers.CAIRN, "serve", "--hash-password"], input="secret\n", capture_output=True, text=True, check=True).stdout.strip()
    pathlib.Path(users).write_text("".join(f'[[user]]\nname = "{name}"\npassword = "{hashed}"\nrights = {rights}\n' for name, rights in (("boss", '["read", "write", "admin"]'), ("app", '["read", "write"]'))))
    port = servers.free_port()

    def post(path: str, fields: dict[str, str], body: bytes = b"{}", method: str = "POST") -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body if method == "POST" else None, headers=fields, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, str(error.headers.get("Allow", "")) + error.read().decode()

    kind = {"Content-Type": "application/json"}
    with servers.cairn(f"{work}/web", "--backup-directory", folder, "--http-port", str(port)) as server:
        assert post("/api/v1/checkpoint", {"Content-Type": "text/plain"})[0] == 415
        assert post("/api/v1/checkpoint", {**kind, "Origin": "http://evil.example"})[0] == 403
        assert post("/api/v1/checkpoint", {**kind, "Origin": "null"})[0] == 403
        assert post("/api/v1/checkpoint", {**kind, "Sec-Fetch-Site": "cross-site"})[0] == 403
        assert post("/api/v1/checkpoint", {**kind, "Host": "evil.example"})[0] == 403
        assert post("/api/v1/checkpoint", kind, b'{"name": "x"}')[0] == 400
        assert post("/api/v1/checkpoint", {}, method="GET") == (405, "POSTPOST\n")
        assert post("/api/v1/stats", kind)[0] == 405
        assert post("/api/v1/checkpoint?name=..%2Fx", kind)[0] == 400
        assert copies(folder) == []
        status, body = post("/api/v1/checkpoint?name=web", {**kind, "Origin": f"http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"})
        assert status == 202 and json.loads(body) == {"ok": True, "state": "started"}, (status, body)
        wait_for(lambda: copies(folder) == ["web"])
        wait(Connection(server.port))
        assert post("/api/v1/checkpoint?name=web", kind)[0] == 409
    with servers.cairn(f"{work}/web", "--backup-directory", folder, "--http-port", str(port), "--users-file", users) as server:
        import base64

        def login(name: str) -> dict[str, str]:
            return {**kind, "Authorization": "Basic " + base64.b64encode(f"{name}:secret".encode()).decode()}

        assert post("/api/v1/checkpoint", kind)[0] == 401
        assert post("/api/v1/checkpoint", login("app"))[0] == 403
        assert post("/api/v1/checkpoint", login("boss"))[0] == 202
        connection = Connection(server.port)
        assert connection.call("AUTH", "app", "secret") == "OK"
        for command in (["BGSAVE"], ["CHECKPOINT", "x"], ["LASTSAVE"]):
            refused(connection.call(*command), "NOPERM")
        wait_for(lambda: len([name for name in copies(folder) if not name.startswith(".")]) == 2)


def main() -> None:
    with tempfile.TemporaryDirectory() as work:
        asking(work)
        under_load(work)
        schedule(work)
        another_database(work)
        killed(work)
        full = a_full_disk(work)
        over_http(work)
    print(f"backup: asking, under load, schedule, kills, {'a full disk' if full else 'no file system to fill'}, HTTP")


if __name__ == "__main__":
    main()
