"""What every Python test needs: a berth process of its own, HTTP on the wire, and things to push.

    with Server(folder) as server:
        client = server.client()
        digest = push_blob(client, "some/name", b"hello")
        reply = client.get(f"/v2/some/name/blobs/{digest}")

A Client checks each reply under /v2/ for what holds everywhere (error bodies, version header,
no body after HEAD), so a test says only what it is about. `exchange` speaks raw bytes.
"""

import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BERTH = os.environ.get("BERTH", str(ROOT / "build" / "asan" / "berth"))

# Media types.
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCTETS = "application/octet-stream"

MANIFEST_MAX = 4 << 20  # bytes: the largest manifest that is taken

# The specification's "Error Codes".
ERROR_CODES = {
    "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID",
    "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED", "DENIED", "UNSUPPORTED", "TOOMANYREQUESTS",
}

# What a sanitizer writes when it finds something; any of these in a log is a failed test.
SANITIZER_MARKS = ("ERROR: AddressSanitizer", "runtime error:", "LeakSanitizer", "ThreadSanitizer")

WARNING = re.compile(r'299 - "[^"\\]*(\\.[^"\\]*)*"')
LINK = re.compile(r'<([^>]*)>; rel="next"')


# The server. ------------------------------------------------------------------------------------


class ServerError(AssertionError):
    """The process did something a well-behaved server does not; the message has its log."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One `berth serve`. Its data and its log are files under `folder`.

    start() comes back when it answers; stop() asks it to end, and holds it to ending well: exit
    code 0 and no word of a sanitizer in the log. kill() is the power cut of a process.
    """

    def __init__(self, folder, args=(), env=None, port=None, data=None, prefix=()):
        self.folder = Path(folder)
        self.data = Path(data) if data else self.folder / "data"
        self.log = self.folder / "berth.log"
        self.port = port or free_port()
        self.args = list(args)
        self.env = dict(env or {})
        self.prefix = list(prefix)  # a program in front: prlimit, strace, ...
        self.process = None

    def __enter__(self):
        """Start it, if that is not done; at the end of the block it is stopped."""
        return self if self.process else self.start()

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.stop()
        else:
            self.kill()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def start(self, timeout=20, wait=True):
        assert self.process is None, "it runs already"
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [*self.prefix, BERTH, "serve", "--data", str(self.data), "--listen", self.address]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command + self.args, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env={**os.environ, **self.env})
        if wait:
            self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=20):
        end = time.monotonic() + timeout
        while True:
            if self.process.poll() is not None:
                code = self.process.returncode
                raise ServerError(f"berth ended with {code} at its start\n{self.log_text()}")
            try:
                reply = self.client(timeout=timeout).request("GET", "/v2/", checked=False)
                if reply.status == 200:
                    return
                why = f"GET /v2/ says {reply.status}"
            except (OSError, http.client.HTTPException) as e:
                why = repr(e)
            if time.monotonic() > end:
                self.kill()
                raise ServerError(f"berth does not answer: {why}\n{self.log_text()}")
            time.sleep(0.01)

    def stop(self, timeout=30):
        """SIGTERM; the exit code must be 0. An instrumented build looks for leaks here."""
        if self.process is None:
            return
        ended_before = self.process.poll()
        if ended_before is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                text = self.log_text()
                raise ServerError(f"berth did not end within {timeout} s of SIGTERM\n{text}") from None
        code = self.process.returncode
        self.process = None
        self.check_log()
        if ended_before is not None:
            raise ServerError(f"berth had ended by itself with {code}\n{self.log_text()}")
        if code != 0:
            raise ServerError(f"berth ended with {code} after SIGTERM\n{self.log_text()}")

    def kill(self):
        """SIGKILL, at once; what the log says is still looked at."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self.process = None
        self.check_log()

    def restart(self):
        self.stop()
        return self.start()

    def check_log(self):
        text = self.log_text(limit=None)
        for mark in SANITIZER_MARKS:
            if mark in text:
                at = text.index(mark)
                raise ServerError(f"the log has: {text[max(0, at - 200):at + 4000]}")

    def log_text(self, start=0, limit=20000):
        """The log from byte `start` on; at most its last `limit` characters."""
        try:
            with open(self.log, "rb") as f:
                f.seek(start)
                text = f.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return text if limit is None else text[-limit:]

    def log_size(self):
        return self.log.stat().st_size if self.log.exists() else 0

    def client(self, **options):
        return Client("127.0.0.1", self.port, **options)

    def blob_file(self, digest):
        return self.data / "blobs" / digest.replace(":", "/")


# HTTP. ------------------------------------------------------------------------------------------


class Reply:
    """A reply, whole. Header names compare without case."""

    def __init__(self, method, target, status, headers, body):
        self.method = method
        self.target = target
        self.status = status
        self.headers = headers  # list of (name, value)
        self.body = body

    def __repr__(self):
        lines = [f"{self.method} {self.target} -> {self.status}"]
        lines += [f"    {name}: {value}" for name, value in self.headers]
        if self.body:
            lines.append(f"    {self.body[:500]!r}")
        return "\n".join(lines)

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def header(self, name, default=None):
        values = self.all(name)
        assert len(values) <= 1, f"{name} comes {len(values)} times\n{self!r}"
        return values[0] if values else default

    def json(self):
        return json.loads(self.body)

    @property
    def codes(self):
        return [e["code"] for e in self.json()["errors"]]

    @property
    def location(self):
        value = self.header("Location")
        assert value, f"no Location\n{self!r}"
        return value

    @property
    def digest(self):
        return self.header("Docker-Content-Digest")

    @property
    def next(self):
        """The target of Link rel="next", or None."""
        value = self.header("Link")
        if value is None:
            return None
        match = LINK.fullmatch(value)
        assert match, f"malformed Link {value!r}"
        return local(match[1])


def local(url):
    """A path and query from a Location or Link, whether it came with or without scheme and host."""
    match = re.match(r"https?://[^/]+(/.*)", url)
    return match[1] if match else url


def check_reply(reply, faults=False):
    """What holds for every reply under /v2/. faults: a 5xx is what the test wants to see."""
    said = repr(reply)
    assert reply.all("Docker-Distribution-Api-Version") == ["registry/2.0"], said
    assert faults or reply.status < 500, said
    if reply.method == "HEAD" or reply.status in (204, 304):
        assert reply.body == b"", said
    if reply.status == 405:
        assert reply.header("Allow"), said
    if reply.status == 429:
        assert reply.header("Retry-After"), said
    if 400 <= reply.status < 500 and reply.method != "HEAD":
        check_error_body(reply)
    warnings = reply.all("Warning")
    assert all(WARNING.fullmatch(w) for w in warnings), said
    assert sum(map(len, warnings)) <= 4096, said


def check_error_body(reply):
    said = repr(reply)
    assert reply.header("Content-Type", "").split(";")[0] == "application/json", said
    body = reply.json()
    assert isinstance(body["errors"], list) and body["errors"], said
    for error in body["errors"]:
        assert error["code"] in ERROR_CODES, said
        assert isinstance(error.get("message", ""), str), said
        assert set(error) <= {"code", "message", "detail"}, said


class Client:
    """A keep-alive connection; opened when needed, opened again when the server closed it."""

    def __init__(self, host, port, timeout=60):
        self.host, self.port, self.timeout = host, port, timeout
        self.connection = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def request(self, method, target, body=None, headers=(), chunked=False, checked=True, faults=False):
        """headers: a dict, or pairs where a name comes several times. body: bytes, or with
        chunked an iterable of pieces. A body without chunked gets its Content-Length."""
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
        fresh = self.connection is None
        try:
            reply = self._exchange(method, target, body, pairs, chunked)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            # An idle connection may be closed by the server at any time; a new one may not.
            self.close()
            if fresh or not (body is None or isinstance(body, (bytes, bytearray))):
                raise
            reply = self._exchange(method, target, body, pairs, chunked)
        if checked and target.startswith("/v2/"):
            check_reply(reply, faults)
        return reply

    def _exchange(self, method, target, body, pairs, chunked):
        if self.connection is None:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
            connection.connect()  # here, so that a failure is not taken for a refused body below
            self.connection = connection
        c = self.connection
        try:
            c.putrequest(method, target, skip_accept_encoding=True)
            names = {name.lower() for name, _ in pairs}
            if chunked:
                c.putheader("Transfer-Encoding", "chunked")
            elif "content-length" not in names and (body is not None or method in ("POST", "PUT", "PATCH")):
                c.putheader("Content-Length", str(len(body or b"")))
            for name, value in pairs:
                c.putheader(name, value)
            try:
                c.endheaders()
                if chunked:
                    for piece in [body] if isinstance(body, (bytes, bytearray)) else body:
                        if piece:
                            c.send(b"%x\r\n%s\r\n" % (len(piece), piece))
                    c.send(b"0\r\n\r\n")
                elif body:
                    c.send(body)
            except (BrokenPipeError, ConnectionResetError):
                # The server may refuse a body before it has read it all: its answer counts.
                pass
            r = c.getresponse()
            data = r.read()
            reply = Reply(method, target, r.status, r.getheaders(), data)
            if r.will_close:
                self.close()
            return reply
        except BaseException:
            self.close()
            raise

    def get(self, target, headers=(), **options):
        return self.request("GET", target, headers=headers, **options)

    def head(self, target, headers=(), **options):
        return self.request("HEAD", target, headers=headers, **options)

    def post(self, target, body=None, headers=(), **options):
        return self.request("POST", target, body, headers, **options)

    def put(self, target, body=None, headers=(), **options):
        return self.request("PUT", target, body, headers, **options)

    def patch(self, target, body=None, headers=(), **options):
        return self.request("PATCH", target, body, headers, **options)

    def delete(self, target, headers=(), **options):
        return self.request("DELETE", target, headers=headers, **options)

    def pages(self, target, headers=()):
        """The replies from target on, following Link."""
        seen = set()
        while target:
            assert target not in seen, f"Link leads back to {target}"
            seen.add(target)
            reply = self.get(target, headers)
            yield reply
            target = reply.next


def exchange(server, data, timeout=20, close_write=False):
    """Send raw bytes on a new connection, return all that comes until the server closes.
    close_write: half-close after sending."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=timeout) as s:
        try:
            s.sendall(data)
            if close_write:
                s.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        got = bytearray()
        while True:
            try:
                piece = s.recv(65536)
            except ConnectionResetError:
                break
            if not piece:
                break
            got += piece
        return bytes(got)


def parallel(functions, timeout=120):
    """Run all at once, each in a thread; their results in order. The first exception is raised."""
    results = [None] * len(functions)
    errors = []
    start = threading.Barrier(len(functions))

    def run(i, function):
        try:
            start.wait(timeout)
            results[i] = function()
        except BaseException as e:  # handed to the caller below
            errors.append(e)

    threads = [threading.Thread(target=run, args=(i, f), daemon=True) for i, f in enumerate(functions)]
    for t in threads:
        t.start()
    end = time.monotonic() + timeout
    for t in threads:
        t.join(max(0, end - time.monotonic()))
        assert not t.is_alive(), "a thread is stuck"
    if errors:
        raise errors[0]
    return results


# Things to push. --------------------------------------------------------------------------------


def digest_of(data, alg="sha256"):
    return f"{alg}:{hashlib.new(alg, data).hexdigest()}"


def no_digest(alg="sha256", digit="0"):
    """A well-formed digest of nothing that is stored."""
    return f"{alg}:" + digit * {"sha256": 64, "sha512": 128}[alg]


def noise(size, seed):
    """Bytes that are the same on each run and do not compress."""
    return hashlib.shake_256(str(seed).encode()).digest(size)


def descriptor(content, media_type=OCTETS, alg="sha256", **more):
    return {"mediaType": media_type, "digest": digest_of(content, alg), "size": len(content), **more}


def encode(value):
    return json.dumps(value, separators=(",", ":")).encode()


def image_manifest(config, layers, media_type=OCI_MANIFEST, **more):
    """config and layers are descriptors; more: artifactType, subject, annotations, ..."""
    value = {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers, **more}
    return encode({k: v for k, v in value.items() if v is not None})


def index_manifest(manifests, media_type=OCI_INDEX, **more):
    value = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests, **more}
    return encode({k: v for k, v in value.items() if v is not None})


def push_blob(client, repo, data, alg="sha256"):
    """POST, then PUT with the body: its digest."""
    digest = digest_of(data, alg)
    begun = client.post(f"/v2/{repo}/blobs/uploads/")
    assert begun.status == 202, begun
    done = client.put(with_query(begun.location, digest=digest), data, {"Content-Type": OCTETS})
    assert done.status == 201, done
    return digest


def push_manifest(client, repo, reference, body, media_type=OCI_MANIFEST, query=""):
    """PUT that must succeed: the reply."""
    reply = client.put(f"/v2/{repo}/manifests/{reference}{query}", body, {"Content-Type": media_type})
    assert reply.status == 201, reply
    return reply


class Image:
    """What push_image left behind: the manifest's bytes and digest, and its blobs."""

    def __init__(self, body, alg, config, layers):
        self.body = body
        self.alg = alg
        self.digest = digest_of(body, alg)
        self.config = config  # bytes
        self.layers = layers  # list of bytes

    def descriptor(self, media_type=OCI_MANIFEST, **more):
        return descriptor(self.body, media_type, self.alg, **more)

    @property
    def blobs(self):
        return [digest_of(b, self.alg) for b in [self.config, *self.layers]]


def push_image(client, repo, reference=None, seed="image", alg="sha256", layers=1, **more):
    """A small image with blobs that depend on seed; pushed to `reference`, by default by digest."""
    config = encode({"architecture": "amd64", "os": "linux", "seed": str(seed)})
    contents = [noise(1000 + n, f"{seed} layer {n}") for n in range(layers)]
    for blob in [config, *contents]:
        push_blob(client, repo, blob, alg)
    body = image_manifest(descriptor(config, OCI_CONFIG, alg),
                          [descriptor(c, OCI_LAYER_GZIP, alg) for c in contents], **more)
    image = Image(body, alg, config, contents)
    push_manifest(client, repo, reference or image.digest, body)
    return image


def push_artifact(client, repo, subject=None, artifact_type=None, reference=None, alg="sha256", **more):
    """An artifact: an image manifest with the empty configuration, optionally with a subject."""
    push_blob(client, repo, b"{}", alg)
    empty = descriptor(b"{}", OCI_EMPTY, alg)
    body = image_manifest(empty, [empty], artifactType=artifact_type, subject=subject, **more)
    image = Image(body, alg, b"{}", [b"{}"])
    image.reply = push_manifest(client, repo, reference or image.digest, body)
    return image


def with_query(target, **parameters):
    """Add parameters to a Location, which may have some already."""
    target = local(target)
    text = "&".join(f"{k}={v}" for k, v in parameters.items())
    return target + ("&" if "?" in target else "?") + text
