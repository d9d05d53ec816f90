"""Many clients at once against the program built with the thread sanitizer. What is asked for here is
that it finds no race: harness.Server reads the log for its reports when the server ends."""

import os
import signal
import threading
import time

import pytest
from harness import BERTH, Server, noise, parallel, push_artifact, push_blob, push_image

CLIENTS = 8
ROUNDS = 6


@pytest.fixture
def server(tmp_path):
    with open(BERTH, "rb") as program:
        assert b"__tsan_init" in program.read(), f"{BERTH} is built without the thread sanitizer"
    # With an interval this short index.json is written again and again while requests run.
    with Server(tmp_path, env={"BERTH_STORAGE_LAYOUT_IDLE": "1s"}) as s:
        yield s


def test_clients_push_pull_list_and_delete_the_same_things(server):
    def client(number):
        with server.client() as c:
            for n in range(ROUNDS):
                image = push_image(c, "shared/app", f"tag-{n}", seed=n, layers=2)
                push_artifact(c, "shared/app", image.descriptor(), f"application/vnd.test.{number}")
                push_image(c, f"own/{number}", "latest", seed=f"{number}/{n}")
                assert c.get(f"/v2/own/{number}/manifests/latest").status == 200
                # The others may have deleted these a moment ago.
                for target in (f"manifests/tag-{n}", f"blobs/{image.blobs[1]}", "tags/list",
                               f"referrers/{image.digest}"):
                    assert c.get(f"/v2/shared/app/{target}").status in (200, 404)
                assert c.get(f"/v2/shared/app/blobs/{image.blobs[0]}",
                             {"Range": "bytes=1-9,20-29"}).status in (206, 404)
                assert c.get("/v2/_catalog").status == 200
                if number % 4 == 3:
                    assert c.delete(f"/v2/shared/app/manifests/tag-{n}").status in (202, 404)

    parallel([lambda i=i: client(i) for i in range(CLIENTS)], timeout=300)
    with server.client() as c:
        for i in range(CLIENTS):
            assert c.get(f"/v2/own/{i}/tags/list").json()["tags"] == ["latest"]


def test_settings_are_read_again_and_the_server_stops_under_load(server):
    stopping = threading.Event()
    done = [0] * CLIENTS

    def client(number):
        while True:
            try:
                with server.client(timeout=20) as c:
                    for n in range(ROUNDS):
                        digest = push_blob(c, f"own/{number}", noise(200000, f"{number} {n}"))
                        assert len(c.get(f"/v2/own/{number}/blobs/{digest}").body) == 200000
                        done[number] += 1
            except Exception:
                # Requests that arrive while it stops may be refused or cut.
                if not stopping.is_set():
                    raise
                return

    def conductor():
        for _ in range(5):
            time.sleep(0.3)
            os.kill(server.pid, signal.SIGHUP)
        time.sleep(0.5)
        stopping.set()
        server.stop()

    parallel([lambda i=i: client(i) for i in range(CLIENTS)] + [conductor], timeout=300)
    assert all(done), done
