"""Content to move, and the clients that move it."""

import hashlib
import json
import multiprocessing
import os
import subprocess
import time

from . import wire

TAIL_BYTES = 64             # what makes one push differ from all others
BLOCK_BYTES = 4 * 2**20
WORKER_LIMIT_S = 300
ERRORS_KEPT = 5
OCTETS = ('Content-Type', 'application/octet-stream')
MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
WRK_LUA = '''
done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format('\\nRESULT {"requests": %d, "us": %d, "p50_us": %d, "p99_us": %d, '
        .. '"refused": %d, "errors": %d}\\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), e.status,
        e.connect + e.read + e.write + e.timeout))
end
'''


class Content:
    """Random bytes in a file. A push of n bytes is the first n - TAIL_BYTES of it and a tail of its
    own, so every push is new to the registry, and its digest is known without hashing it again."""

    def __init__(self, path, sizes):
        self.path = path
        self.states = {}
        sha = hashlib.sha256()
        done = 0
        with open(path, 'wb') as f:
            for stop in sorted(size - TAIL_BYTES for size in sizes):
                while done < stop:
                    block = os.urandom(min(BLOCK_BYTES, stop - done))
                    f.write(block)
                    sha.update(block)
                    done += len(block)
                self.states[stop + TAIL_BYTES] = sha.copy()

    def new(self, size):
        tail = os.urandom(TAIL_BYTES)
        sha = self.states[size].copy()
        sha.update(tail)
        return tail, 'sha256:' + sha.hexdigest()


class Outcome:
    """What a group of clients did."""

    def __init__(self):
        self.begin = None
        self.end = None
        self.count = 0
        self.bytes = 0
        self.errors = 0
        self.messages = []

    def error(self, message):
        self.errors += 1
        if len(self.messages) < ERRORS_KEPT:
            self.messages.append(message)

    def add(self, other):
        self.begin = other.begin if self.begin is None else min(self.begin, other.begin)
        self.end = other.end if self.end is None else max(self.end, other.end)
        self.count += other.count
        self.bytes += other.bytes
        self.errors += other.errors
        self.messages = (self.messages + other.messages)[:ERRORS_KEPT]

    def rate(self, amount):
        """amount per second; None when nothing was done."""
        return amount / (self.end - self.begin) if amount else None


def _worker(server, job, items, barrier, pipe):
    out = Outcome()
    conn = server.conn()
    try:
        conn.open()
    except OSError as e:
        out.error(f'connect: {e}')
    barrier.wait()
    out.begin = time.monotonic()
    for item in items:
        try:
            out.bytes += job(conn, item)
            out.count += 1
        except (OSError, ValueError, wire.WireError) as e:
            conn.close()
            out.error(str(e))
    out.end = time.monotonic()
    conn.close()
    pipe.send(out)
    pipe.close()


def run_clients(server, job, lists):
    """One process per list, all beginning together: job(conn, item) moves an item, returns its bytes."""
    fork = multiprocessing.get_context('fork')
    barrier = fork.Barrier(len(lists))
    group = []
    total = Outcome()
    try:
        for items in lists:
            ours, theirs = fork.Pipe(duplex=False)
            proc = fork.Process(target=_worker, args=(server, job, items, barrier, theirs), daemon=True)
            proc.start()
            theirs.close()
            group.append((proc, ours))
        deadline = time.monotonic() + WORKER_LIMIT_S
        for proc, pipe in group:
            if not pipe.poll(max(0, deadline - time.monotonic())):
                raise wire.WireError(f'{server.name}: a client did not end in {WORKER_LIMIT_S} s')
            total.add(pipe.recv())
    except EOFError:
        raise wire.WireError(f'{server.name}: a client ended without a result') from None
    finally:
        for proc, pipe in group:
            proc.join(5)
            if proc.is_alive():
                proc.kill()
                proc.join()
            pipe.close()
    return total


def expect(reply, status, what):
    if reply.status != status:
        text = bytes(reply.body[:120]).decode('utf-8', 'replace')
        raise wire.WireError(f'{what}: {reply.status} instead of {status} {text}'.strip())
    return reply


def push_blob(conn, repo, digest, size, fd, tail, shape):
    """Push one blob as clients do. patch: POST, PATCH, PUT (docker, podman, skopeo, crane); put: POST and
    PUT with the body (containerd, oras)."""
    reply = expect(conn.call('POST', f'/v2/{repo}/blobs/uploads/'), 202, 'POST')
    where = reply.header('Location')
    if shape == 'patch':
        reply = expect(conn.call('PATCH', wire.with_query(where, ''), [OCTETS], tail, fd, size - len(tail)),
                       202, 'PATCH')
        where = reply.header('Location')
        reply = conn.call('PUT', wire.with_query(where, 'digest=' + digest))
    else:
        reply = conn.call('PUT', wire.with_query(where, 'digest=' + digest), [OCTETS], tail, fd,
                          size - len(tail))
    expect(reply, 201, 'PUT')
    return size


def push_small(conn, repo, digest, body):
    """The shortest push: one POST with digest and body, or what the spec says when that is not taken."""
    reply = conn.call('POST', f'/v2/{repo}/blobs/uploads/?digest={digest}', [OCTETS], body)
    if reply.status == 202:
        where = wire.with_query(reply.header('Location'), 'digest=' + digest)
        reply = conn.call('PUT', where, [OCTETS], body)
    expect(reply, 201, 'POST with digest')
    return len(body)


def pull_blob(conn, repo, digest, size):
    reply = expect(conn.call('GET', f'/v2/{repo}/blobs/{digest}', sink=wire.drop), 200, 'GET')
    if reply.length != size:
        raise wire.WireError(f'GET: {reply.length} bytes instead of {size}')
    return size


def check_blob(conn, repo, digest, size):
    """Pull a blob and prove it: done outside the clock."""
    sha = hashlib.sha256()
    reply = expect(conn.call('GET', f'/v2/{repo}/blobs/{digest}', sink=sha.update), 200, 'GET')
    if reply.length != size or 'sha256:' + sha.hexdigest() != digest:
        raise wire.WireError('the bytes pulled are not the bytes pushed')


def has_blob(conn, repo, digest, size):
    reply = expect(conn.call('HEAD', f'/v2/{repo}/blobs/{digest}'), 200, 'HEAD')
    if reply.header('Content-Length') != str(size):
        raise wire.WireError(f'HEAD: length {reply.header("Content-Length")} instead of {size}')


def image(layers):
    """Manifest and config bytes of an image of (digest, size) layers."""
    config = json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': {},
                         'rootfs': {'type': 'layers', 'diff_ids': [d for d, _ in layers]}}).encode()
    manifest = json.dumps({
        'schemaVersion': 2, 'mediaType': MANIFEST,
        'config': {'mediaType': 'application/vnd.oci.image.config.v1+json',
                   'digest': digest_of(config), 'size': len(config)},
        'layers': [{'mediaType': 'application/vnd.oci.image.layer.v1.tar', 'digest': d, 'size': n}
                   for d, n in layers]}).encode()
    return manifest, config


def digest_of(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


def put_manifest(conn, repo, tag, manifest):
    reply = conn.call('PUT', f'/v2/{repo}/manifests/{tag}', [('Content-Type', MANIFEST)], manifest)
    expect(reply, 201, 'PUT manifest')


def get_manifest(conn, repo, tag):
    return bytes(expect(conn.call('GET', f'/v2/{repo}/manifests/{tag}', [('Accept', MANIFEST)]),
                        200, 'GET manifest').body)


def run_wrk(wrk, script, url, connections, seconds, accept):
    """Requests per second, and errors, of wrk with one thread."""
    argv = [wrk, '-t1', f'-c{connections}', f'-d{seconds}s', '--timeout', '10s', '-s', script,
            '-H', 'Accept: ' + accept, url]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=seconds + 60, check=False)
    text = done.stdout.decode('utf-8', 'replace')
    for line in text.split('\n'):
        if line.startswith('RESULT '):
            result = json.loads(line[7:])
            good = result['requests'] - result['refused']
            result['rate'] = good / (result['us'] / 1e6) if good else None
            result['errors'] += result['refused']
            return result
    raise wire.WireError('wrk: ' + text.strip()[-200:])
