#!/usr/bin/python3
"""Kill the server at random moments while several clients push, delete and resume, and `berth tag`
and `berth rm` change the same data directory; after each restart hold what is there against
what was acknowledged.

    tests/crash/test_kill.py --kills 200 [--seed N]     by itself
    pytest tests/crash --kills 200                      the same

Each client changes things of its own only, so that it knows what must be there: it notes a
change before it asks for it, and knows it done when the answer has come. A change without an answer
may have happened or not, but wholly. Contents come from a small pool as well as new, so that
several repositories share files that others delete.
"""

import argparse
import hashlib
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "http"))
os.environ.setdefault("BERTH", str(Path(__file__).resolve().parents[2] / "build" / "berth"))

from harness import (BERTH, OCI_MANIFEST, OCTETS, Server, descriptor, digest_of, image_manifest,  # noqa: E402
                     local, noise, push_blob, push_image, with_query)

CLIENTS = 4
POOL = 8                 # contents that all clients push and delete
SAMPLE = 40              # older things of each client that are looked at after a kill
START_LIMIT = 0.100      # seconds from exec to the first manifest
LOST = (OSError, http.client.HTTPException)


class Lost(Exception):
    """The server went away before it answered."""


class State:
    """What one client knows: ("blob"|"manifest"|"tag", name) -> bytes, or a digest for tags."""

    def __init__(self):
        self.known = {}
        self.gone = set()
        self.fresh = set()      # changed since the last look
        self.pending = None     # (old, new): changes that were asked for and not answered
        self.sessions = []

    def ask(self, changes):
        """changes: what will be true when it is done; None means absent."""
        assert self.pending is None
        self.pending = ({k: self.known.get(k) for k in changes}, changes)

    def done(self):
        self.settle(self.pending[1])

    def settle(self, values):
        for key, value in values.items():
            if value is None:
                self.known.pop(key, None)
                self.gone.add(key)
            else:
                self.known[key] = value
                self.gone.discard(key)
            self.fresh.add(key)
        self.pending = None

    def names(self, kind):
        return [name for k, name in self.known if k == kind]


class Worker:
    """A client with a repository of its own."""

    def __init__(self, loop, number):
        self.loop = loop
        self.repo = f"kill/client-{number}"
        self.random = random.Random(f"{loop.seed} {number}")
        self.state = State()
        self.serial = 0
        self.images = {}    # manifest digest -> digests of its blobs
        self.client = None

    # -- talking

    def call(self, method, target, body=None, headers=(), expect=()):
        try:
            reply = self.client.request(method, target, body, headers)
        except LOST as e:
            raise Lost from e
        assert reply.status in expect, reply
        return reply

    def content(self):
        if self.random.random() < 0.4:
            return noise(2000, f"pool {self.random.randrange(POOL)}")
        self.serial += 1
        size = self.random.choice((1, 600, 30_000, 30_000, 200_000, 1_500_000))
        return noise(size, f"{self.loop.seed} {self.repo} {self.serial}")

    # -- one change each

    def push_whole(self, data=None):
        data = self.content() if data is None else data
        digest = digest_of(data)
        begun = self.call("POST", f"/v2/{self.repo}/blobs/uploads/", expect=(202,))
        self.state.ask({("blob", digest): data})
        self.call("PUT", with_query(begun.location, digest=digest), data, {"Content-Type": OCTETS}, (201,))
        self.state.done()
        return digest, data

    def push_single_post(self):
        data = self.content()
        digest = digest_of(data)
        self.state.ask({("blob", digest): data})
        self.call("POST", f"/v2/{self.repo}/blobs/uploads/?digest={digest}", data,
                  {"Content-Type": OCTETS}, (201,))
        self.state.done()

    def mount(self):
        digest, data = self.random.choice(self.loop.base_blobs)
        self.state.ask({("blob", digest): data})
        self.call("POST", f"/v2/{self.repo}/blobs/uploads/?mount={digest}&from={self.loop.base}",
                  expect=(201,))
        self.state.done()

    def begin_session(self):
        self.serial += 1
        data = noise(self.random.choice((50_000, 400_000)), f"{self.loop.seed} {self.repo} s{self.serial}")
        begun = self.call("POST", f"/v2/{self.repo}/blobs/uploads/", expect=(202,))
        self.state.sessions.append({"location": local(begun.location), "data": data, "at": 0, "sent": 0})

    def patch_session(self):
        if not self.state.sessions:
            return self.begin_session()
        s = self.random.choice(self.state.sessions)
        end = min(len(s["data"]), s["at"] + self.random.randrange(2, 90_000))
        if end == s["at"]:
            return self.end_session(s)
        s["sent"] = end
        reply = self.call("PATCH", s["location"], s["data"][s["at"]:end],
                          {"Content-Type": OCTETS, "Content-Range": f"{s['at']}-{end - 1}"}, (202,))
        assert reply.header("Range") == f"0-{end - 1}", reply
        s["at"] = end

    def end_session(self, s):
        digest = digest_of(s["data"])
        self.state.ask({("blob", digest): s["data"]})
        s["ending"] = True
        self.call("PUT", with_query(s["location"], digest=digest), s["data"][s["at"]:],
                  {"Content-Type": OCTETS}, (201,))
        self.state.sessions.remove(s)
        self.state.done()

    def push_image(self):
        layers = [self.push_whole() for _ in range(self.random.randrange(1, 3))]
        config, _ = self.push_whole(b'{"n":%d}' % self.serial)
        body = image_manifest(descriptor(self.state.known["blob", config]),
                              [descriptor(d) for _, d in layers],
                              annotations={"serial": f"{self.repo} {self.serial}"})
        digest = digest_of(body)
        self.images[digest] = [config, *(d for d, _ in layers)]
        changes = {("manifest", digest): body}
        reference = digest
        if self.random.random() < 0.8:
            reference = f"t{self.random.randrange(12)}"
            changes["tag", reference] = digest
        self.state.ask(changes)
        self.call("PUT", f"/v2/{self.repo}/manifests/{reference}", body,
                  {"Content-Type": OCI_MANIFEST}, (201,))
        self.state.done()

    def retag(self):
        manifests = self.state.names("manifest")
        if not manifests:
            return
        digest = self.random.choice(manifests)
        tags = [f"t{n}" for n in self.random.sample(range(12), 2)]
        self.state.ask({("tag", t): digest for t in tags})
        self.call("PUT", f"/v2/{self.repo}/manifests/{digest}?tag={tags[0]}&tag={tags[1]}",
                  self.state.known["manifest", digest], {"Content-Type": OCI_MANIFEST}, (201,))
        self.state.done()

    def delete_tag(self):
        tags = self.state.names("tag")
        if not tags:
            return
        tag = self.random.choice(tags)
        self.state.ask({("tag", tag): None})
        self.call("DELETE", f"/v2/{self.repo}/manifests/{tag}", expect=(202,))
        self.state.done()

    def delete_manifest(self):
        manifests = self.state.names("manifest")
        if not manifests:
            return
        digest = self.random.choice(manifests)
        known = self.state.known
        changes = {("tag", t): None for t in self.state.names("tag") if known["tag", t] == digest}
        changes["manifest", digest] = None
        self.state.ask(changes)
        self.call("DELETE", f"/v2/{self.repo}/manifests/{digest}", expect=(202,))
        self.state.done()

    def delete_blob(self):
        used = {b for m in self.state.names("manifest") for b in self.images[m]}
        free = [b for b in self.state.names("blob") if b not in used]
        if not free:
            return
        digest = self.random.choice(free)
        self.state.ask({("blob", digest): None})
        self.call("DELETE", f"/v2/{self.repo}/blobs/{digest}", expect=(202,))
        self.state.done()

    def run(self, server):
        actions = [(self.push_whole, 3), (self.push_single_post, 2), (self.mount, 1), (self.begin_session, 1),
                   (self.patch_session, 5), (self.push_image, 4), (self.retag, 3), (self.delete_tag, 1),
                   (self.delete_manifest, 1), (self.delete_blob, 2)]
        functions, weights = zip(*actions)
        self.client = server.client(timeout=30)
        try:
            while not self.loop.stopping:
                self.random.choices(functions, weights)[0]()
        except Lost:
            pass
        except BaseException as e:  # raised again by the loop, in the thread that reports
            self.loop.errors.append(e)
        finally:
            self.client.close()

    # -- looking

    def read(self, client, key):
        """What the server has: the same kind of value as in State, or None."""
        kind, name = key
        part = "blobs" if kind == "blob" else "manifests"
        reply = client.get(f"/v2/{self.repo}/{part}/{name}")
        assert reply.status in (200, 404), reply
        if reply.status == 404:
            return None
        digest = name if kind != "tag" else reply.digest
        assert digest_of(reply.body) == digest, f"{key}: wrong bytes are served"
        return reply.digest if kind == "tag" else reply.body

    def check(self, client, everything=False):
        s = self.state
        if s.pending:
            old, new = s.pending
            got = {key: self.read(client, key) for key in old}
            assert got in (old, new), f"{self.repo}: half done: {list(old)}"
            s.settle(got)
        keys = list(s.known)
        if not everything:
            keys = set(self.random.sample(keys, min(len(keys), SAMPLE))) | (s.fresh & set(keys))
        for key in keys:
            assert self.read(client, key) == s.known[key], f"{self.repo}: {key} was acknowledged and is lost"
        for key in s.gone & (s.gone if everything else s.fresh):
            assert self.read(client, key) is None, f"{self.repo}: {key} was deleted and is back"
        s.fresh.clear()
        self.check_sessions(client)

    def check_sessions(self, client):
        for s in list(self.state.sessions):
            digest = digest_of(s["data"])
            reply = client.get(s["location"])
            if s.get("ending") and reply.status == 404:
                # It was killed while it ended: its file is in place, with the row or without it.
                self.state.sessions.remove(s)
                continue
            assert reply.status == 204, f"{self.repo}: an upload session is lost: {reply}"
            given = reply.header("Range")
            at = int(given.split("-")[1]) + 1 if given else 0
            if given == "0-0" and s["at"] == 0:
                at = 0  # that is how an empty session is told; no chunk here has one byte
            limit = len(s["data"]) if s.get("ending") else s["sent"]
            assert s["at"] <= at <= max(s["at"], limit), f"{self.repo}: offset {at}, acknowledged {s['at']}"
            s["at"] = s["sent"] = at
            s.pop("ending", None)
            if self.random.random() < 0.5:
                done = client.put(with_query(s["location"], digest=digest), s["data"][at:],
                                  {"Content-Type": OCTETS, "Content-Range": f"{at}-{len(s['data']) - 1}"}
                                  if at < len(s["data"]) else {"Content-Type": OCTETS})
                assert done.status == 201, done
                self.state.sessions.remove(s)
                self.state.settle({("blob", digest): s["data"]})


class Commands:
    """`berth tag` and `berth rm` beside the server, sometimes killed as well."""

    def __init__(self, loop):
        self.loop = loop
        self.repo = "kill/commands"
        self.random = random.Random(f"{loop.seed} commands")
        self.tags = {}
        self.pending = None
        self.killed = self.ran = 0

    def run(self):
        try:
            while not self.loop.stopping:
                self.one()
        except BaseException as e:
            self.loop.errors.append(e)

    def one(self):
        tag = f"c{self.random.randrange(6)}"
        if tag in self.tags and self.random.random() < 0.4:
            args, new = ["rm", f"{self.repo}:{tag}"], None
        else:
            new = self.random.choice(self.loop.command_images)
            args = ["tag", f"{self.repo}@{new}", tag]
        self.pending = (tag, self.tags.get(tag), new)
        process = subprocess.Popen([BERTH, *args, "--data", str(self.loop.server.data)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        killed = self.random.random() < 0.3
        if killed:
            time.sleep(self.random.random() * 0.02)
            process.kill()
            self.killed += 1
        said = process.communicate()[0]
        self.ran += 1
        if process.returncode == 0:
            self.settle(new)
            return
        assert killed, f"berth {args} ended with {process.returncode}: {said.decode()}"
        self.check_pending()

    def settle(self, value):
        tag = self.pending[0]
        if value is None:
            self.tags.pop(tag, None)
        else:
            self.tags[tag] = value
        self.pending = None

    def check_pending(self):
        """A command that was killed: another one tells what became of it."""
        tag, old, new = self.pending
        said = subprocess.run([BERTH, "ls", "--json", self.repo, "--data", str(self.loop.server.data)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True).stdout
        got = {t["tag"]: t["digest"] for t in json.loads(said)["tags"]}.get(tag)
        assert got in (old, new), f"{self.repo}:{tag} is {got}: it was {old}, and {new} was asked for"
        self.settle(got)

    def check(self, client):
        for tag in [f"c{n}" for n in range(6)]:
            reply = client.get(f"/v2/{self.repo}/manifests/{tag}")
            assert reply.status in (200, 404), reply
            got = reply.digest if reply.status == 200 else None
            assert got == self.tags.get(tag), f"{self.repo}:{tag} is {got}, acknowledged {self.tags.get(tag)}"


class KillLoop:
    def __init__(self, folder, kills, seed):
        self.seed = seed
        self.kills = kills
        self.random = random.Random(seed)
        self.server = Server(folder)
        self.errors = []
        self.stopping = False
        self.starts = []
        self.instrumented = b"__asan_init" in Path(BERTH).read_bytes()

    def prepare(self):
        with self.server.client() as client:
            self.base = "kill/base"
            self.base_blobs = []
            for n in range(3):
                data = noise(5000, f"base {n}")
                self.base_blobs.append((push_blob(client, self.base, data), data))
            self.probe = push_image(client, self.base, "probe", seed="probe")
            images = [push_image(client, "kill/commands", seed=f"c {n}") for n in range(3)]
            self.command_images = [i.digest for i in images]
        self.workers = [Worker(self, n) for n in range(CLIENTS)]
        self.commands = Commands(self)

    def start(self):
        """Start the server; the seconds from exec to the first manifest."""
        began = time.monotonic()
        self.server.start(wait=False)
        while True:
            try:
                c = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
                c.request("GET", f"/v2/{self.base}/manifests/probe")
                body = c.getresponse().read()
                c.close()
                break
            except LOST:
                assert self.server.process.poll() is None, f"it does not start:\n{self.server.log_text()}"
                assert time.monotonic() - began < 20, f"no answer:\n{self.server.log_text()}"
                time.sleep(0.001)
        took = time.monotonic() - began
        assert body == self.probe.body
        return took

    def timed_start(self):
        """A start that was slow is repeated twice, from another kill: a busy machine is not berth."""
        took = self.start()
        for _ in range(2):
            if took < START_LIMIT or self.instrumented:
                break
            self.server.kill()
            took = min(took, self.start())
        self.starts.append(took)
        assert self.instrumented or took < START_LIMIT, f"start to first answer took {took * 1000:.0f} ms"

    def traffic(self, seconds):
        self.stopping = False
        threads = [threading.Thread(target=w.run, args=(self.server,), daemon=True) for w in self.workers]
        commands = threading.Thread(target=self.commands.run, daemon=True)
        for t in [*threads, commands]:
            t.start()
        time.sleep(seconds)
        self.server.kill()
        for t in threads:
            t.join(60)
            assert not t.is_alive(), "a client is stuck"
        self.stopping = True
        commands.join(60)
        assert not commands.is_alive(), "a command is stuck"
        if self.errors:
            raise self.errors[0]

    def check(self, everything=False):
        with self.server.client() as client:
            for worker in self.workers:
                worker.check(client, everything)
            self.commands.check(client)

    def check_files(self):
        """Every file in blobs/ is what its name says, whether it is served or not."""
        for path in (self.server.data / "blobs").rglob("*"):
            if path.is_file():
                got = hashlib.new(path.parent.name, path.read_bytes()).hexdigest()
                assert got == path.name, f"{path} has other bytes"
        assert not list((self.server.data / "trash").iterdir()), "files are left in trash/"
        # A clean stop leaves an image layout that is up to date.
        index = json.loads((self.server.data / "index.json").read_text())
        key = "org.opencontainers.image.ref.name"
        named = {m["annotations"][key]: m["digest"] for m in index["manifests"]}
        want = {f"{w.repo}:{name}": digest for w in self.workers
                for (kind, name), digest in w.state.known.items() if kind == "tag"}
        want |= {f"{self.commands.repo}:{tag}": digest for tag, digest in self.commands.tags.items()}
        have = {name: d for name, d in named.items() if ":" in name and "@" not in name
                and name.startswith(("kill/client", self.commands.repo))}
        assert have == want, "index.json is not what is served"

    def run(self):
        self.server.start()
        try:
            self.prepare()
            for n in range(self.kills):
                self.traffic(self.random.uniform(0.03, 0.7))
                self.timed_start()
                self.check(everything=n % 50 == 49)
            self.check(everything=True)
            self.server.stop()
            self.check_files()
            self.server.start()
            self.check(everything=True)
            self.server.stop()
        except BaseException:
            self.server.kill()
            raise
        things = sum(len(w.state.known) for w in self.workers)
        return (f"{self.kills} kills, seed {self.seed}: {things} things there, "
                f"{self.commands.ran} commands run and {self.commands.killed} killed, "
                f"slowest start {max(self.starts) * 1000:.0f} ms")


def test_what_was_acknowledged_survives_kills_at_random_moments(tmp_path, request, capsys):
    seed = request.config.getoption("--kill-seed")
    seed = random.randrange(1 << 32) if seed is None else seed
    print(f"seed {seed}")
    said = KillLoop(tmp_path, request.config.getoption("--kills"), seed).run()
    with capsys.disabled():
        print(f"\n{said}")


def test_a_rebuild_that_is_killed_can_be_run_again(tmp_path):
    """Cut off at random moments, run again, and in the end all is there; a catalogue that is half
    made is never taken for a whole one."""
    dice = random.Random(1)
    server = Server(tmp_path)
    with server, server.client() as client:
        names = [(f"rebuild/{n % 3}", f"t{n}") for n in range(30)]
        images = {name: push_image(client, *name, seed=f"r {name}") for name in names}
    for path in server.data.glob("catalog.db*"):
        path.unlink()
    command = [BERTH, "rebuild", "--verify", "--data", str(server.data)]
    began = time.monotonic()
    killed = 0
    for _ in range(40):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)
        time.sleep(dice.uniform(0, 0.05))
        process.kill()
        said = process.communicate()[0].decode()
        if process.returncode == 0:
            for path in server.data.glob("catalog.db*"):
                path.unlink()
            continue
        assert process.returncode < 0, f"rebuild ended with {process.returncode}: {said}"
        killed += 1
        if (server.data / "catalog.db").exists():  # killed after its last step: then it is whole
            subprocess.run([BERTH, "check", "--data", str(server.data)], check=True,
                           stdout=subprocess.DEVNULL)
            for path in server.data.glob("catalog.db*"):
                path.unlink()
    assert killed >= 5, f"{killed} of 40 were killed in {time.monotonic() - began:.1f} s: nothing is tried"
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    with Server(tmp_path / "after", data=server.data) as after, after.client() as client:
        for (repo, tag), image in images.items():
            assert client.get(f"/v2/{repo}/manifests/{tag}").body == image.body
            for digest, data in zip(image.blobs, [image.config, *image.layers]):
                assert client.get(f"/v2/{repo}/blobs/{digest}").body == data
    assert not list(server.data.glob("catalog.db.new*")), "a rebuild left something behind"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory() as folder:
        print(KillLoop(Path(folder), options.kills, options.seed).run())


if __name__ == "__main__":
    main()
