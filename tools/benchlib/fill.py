"""A registry's data directory with many small images in it, the same images for every registry."""

import os
import shutil
import subprocess

from . import load

IMAGE_BLOBS = 100           # manifest, config and layers of one image
REPO_IMAGES = 100
CLIENTS = 8


class Stock:
    """blobs blobs in images of IMAGE_BLOBS, spread over repositories."""

    def __init__(self, blobs):
        self.images = max(1, blobs // IMAGE_BLOBS)
        self.blobs = self.images * IMAGE_BLOBS

    def place(self, i):
        """Repository and tag of image i."""
        return f'stock/r{i // REPO_IMAGES}', f'v{i % REPO_IMAGES}'

    def image(self, i):
        """Manifest and the blobs (digest, bytes) of image i; the config comes last."""
        layers = [b'layer %d of image %d\n' % (n, i) for n in range(IMAGE_BLOBS - 2)]
        blobs = [(load.digest_of(data), data) for data in layers]
        manifest, config = load.image([(digest, len(data)) for digest, data in blobs])
        blobs.append((load.digest_of(config), config))
        return manifest, blobs

    def push(self, conn, i):
        repo, tag = self.place(i)
        manifest, blobs = self.image(i)
        for digest, data in blobs:
            load.push_small(conn, repo, digest, data)
        load.put_manifest(conn, repo, tag, manifest)
        return len(manifest)

    def pull(self, conn, i):
        """The least that is a pull: the manifest by its tag, then one layer."""
        repo, tag = self.place(i)
        manifest, blobs = self.image(i)
        if load.get_manifest(conn, repo, tag) != manifest:
            raise load.wire.WireError('the manifest pulled is not the one stored')
        load.check_blob(conn, repo, blobs[0][0], len(blobs[0][1]))


def _write(path, data):
    os.makedirs(os.path.dirname(path))
    with open(path, 'wb') as f:
        f.write(data)


def by_layout(stock, data):
    """docker-registry has no index: its own folder layout, written directly, is a filled registry."""
    root = os.path.join(data, 'docker/registry/v2')

    def blob(digest, body):
        digest = digest.removeprefix('sha256:')
        _write(f'{root}/blobs/sha256/{digest[:2]}/{digest}/data', body)

    def link(folder, digest):
        _write(f'{folder}/link', digest.encode())

    for i in range(stock.images):
        repo, tag = stock.place(i)
        manifest, blobs = stock.image(i)
        top = f'{root}/repositories/{repo}'
        for digest, body in blobs:
            blob(digest, body)
            link(f'{top}/_layers/sha256/' + digest.removeprefix('sha256:'), digest)
        digest = load.digest_of(manifest)
        name = digest.removeprefix('sha256:')
        blob(digest, manifest)
        link(f'{top}/_manifests/revisions/sha256/{name}', digest)
        link(f'{top}/_manifests/tags/{tag}/current', digest)
        link(f'{top}/_manifests/tags/{tag}/index/sha256/{name}', digest)


def by_push(server, stock, data, memory):
    """Any other registry is filled by its clients. In memory, where no push waits for a disk, and then
    copied: the pushes are not what is measured here."""
    made = os.path.join(memory, 'fill-' + server.name) if memory else data
    os.makedirs(made)
    try:
        server.start(made)
        try:
            images = list(range(stock.images))
            lists = [images[n::CLIENTS] for n in range(min(CLIENTS, stock.images))]
            out = load.run_clients(server, stock.push, lists)
        finally:
            server.stop()
        if out.errors:
            raise load.wire.WireError(f'{server.name}: filling it failed: {out.messages[0]}')
        if made != data:
            subprocess.run(['cp', '-a', '--', made, data], check=True)
    finally:
        if made != data:
            shutil.rmtree(made, ignore_errors=True)


def remove(data):
    """The stamp first: a folder that is partly gone must not pass for a filled one."""
    for path in (data + '.stamp', data + '.yml'):
        if os.path.exists(path):
            os.unlink(path)
    if os.path.isdir(data):
        shutil.rmtree(data)


def fill(server, stock, data, memory, stamp):
    """Make data unless an earlier run left it there, made by the same version (the stamp says)."""
    mark = data + '.stamp'
    try:
        with open(mark, encoding='utf-8') as f:
            if f.read() == stamp:
                return False
    except FileNotFoundError:
        pass
    remove(data)
    if server.name == 'docker-registry':
        os.makedirs(data)
        by_layout(stock, data)
    else:
        by_push(server, stock, data, memory)
    os.sync()
    with open(mark, 'w', encoding='utf-8') as f:
        f.write(stamp)
    return True
