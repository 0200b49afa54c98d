#!/usr/bin/env python3
"""A real Chromium, headless, on pages that attack the server: text sent to the Redis port by a form and by fetch(), and HTTP read
under a name that another site has pointed at this machine. Runs in the soak; needs Debian's chromium."""
import http.server
import os
import shutil
import subprocess
import sys
import tempfile
import threading

import servers
from resp import Connection

BROWSER = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--virtual-time-budget=5000"]
COMMANDS = "\\r\\nFLUSHALL\\r\\nTL.ROLLBACK - FORCE\\r\\nTL.CONFIRM\\r\\nSET kept stolen\\r\\n"

PAGE = """<!doctype html><title>page</title><body><script>
const commands = "%s";
for (const url of ["http://127.0.0.1:%d/", "http://localhost:%d/x"]) {
  fetch(url, {method: "POST", mode: "no-cors", body: commands}).catch(() => {});
  fetch(url, {method: "PUT", body: commands}).catch(() => {});
  navigator.sendBeacon(url, commands);
}
const form = document.createElement("form");
form.method = "post"; form.action = "http://127.0.0.1:%d/"; form.enctype = "text/plain"; form.target = "frame";
const field = document.createElement("textarea"); field.name = "x"; field.value = commands; form.append(field);
const frame = document.createElement("iframe"); frame.name = "frame";
document.body.append(frame, form); form.submit();
</script>"""


def page_server(text: str) -> http.server.ThreadingHTTPServer:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def browse(url: str, work: str, *options: str) -> str:
    done = subprocess.run([*BROWSER, f"--user-data-dir={work}/profile", *options, "--dump-dom", url], capture_output=True, text=True, check=False, timeout=120)
    return done.stdout


def main() -> int:
    if shutil.which(BROWSER[0]) is None:
        sys.exit("chromium is not installed (apt-get install chromium)")
    with tempfile.TemporaryDirectory() as work:
        http_port = servers.free_port()
        with servers.cairn(f"{work}/data", "--durability", "kernel", "--http-port", str(http_port)) as server:
            connection = Connection(server.port)
            assert connection.call("SET", "kept", "1") == "OK"
            page = page_server(PAGE % (COMMANDS, server.port, server.port, server.port))
            browse(f"http://127.0.0.1:{page.server_address[1]}/", work)
            page.shutdown()
            assert connection.call("GET", "kept") == b"1" and len(connection.call("TL.HISTORY", "kept")) == 1
            closed = server.read_log().count("event=http_on_redis_port")
            assert closed >= 3, f"the browser sent nothing: {server.read_log()}"
            # DNS rebinding: the name of the page leads here.
            shown = browse(f"http://evil.example:{http_port}/api/v1/get?key=kept", work, "--host-resolver-rules=MAP evil.example 127.0.0.1")
            assert "is not served" in shown and '"value"' not in shown, shown
            shown = browse(f"http://localhost:{http_port}/api/v1/get?key=kept", work)
            assert "value" in shown and "kept" in shown, shown
            assert server.stop() == 0
    print(f"browser: {closed} requests of a page on the Redis port, none ran; HTTP under the name of another site is refused")
    return 0


if __name__ == "__main__":
    sys.exit(main())
