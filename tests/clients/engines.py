"""The registry under test and the clients that talk to it.

Clients keep state in places of the machine that their options do not all move: podman and skopeo
under /var/lib/containers, containerd under /opt, docker in /etc/docker. Each client object
therefore runs its commands in a mount namespace of their own, in which these are empty; what a
client mounts is gone with its command. The engines, which stay, get a process namespace besides:
when its first process is killed, the kernel ends everything the engine has started.
"""

import contextlib
import http.client
import itertools
import json
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import images

ROOT = Path(__file__).resolve().parents[2]

# $0 is the client's own folder. /var/lib is kept from one command to the next: skopeo remembers
# there which registry has which blob. The docker engine does not start without control groups,
# though no container runs here.
BOX = """
mount --bind "$0/lib" /var/lib
for d in /etc/cni /etc/docker /opt /run; do [ ! -d "$d" ] || mount -t tmpfs none "$d"; done
mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup
exec "$@"
"""

# What a sanitizer writes when it finds something.
SANITIZER_MARKS = ("ERROR: AddressSanitizer", "LeakSanitizer", "runtime error:")

START_SECONDS = 30
COMMAND_SECONDS = 120


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(ready, what, process=None, log=None, seconds=START_SECONDS):
    end = time.monotonic() + seconds
    while not ready():
        told = f"\n{log.read_text(errors='replace')[-4000:]}" if log else ""
        if process and process.poll() is not None:
            raise AssertionError(f"{what}: ended with status {process.returncode}{told}")
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not after {seconds} s{told}")
        time.sleep(0.02)


def bytes_below(folder, pattern="*"):
    """How much the files of a folder that is being written hold by now."""
    total = 0
    for path in folder.rglob(pattern):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


class Registry:
    """One berth on a free port; its data directory outlives the process."""

    def __init__(self, program, folder):
        self.program = program
        self.data = Path(folder) / "data"
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.log = Path(folder) / "berth.log"
        self.process = None

    def start(self):
        # Killed with the tests: nothing is left behind when they are interrupted.
        command = ["setpriv", "--pdeathsig", "KILL", self.program, "serve",
                   "--data", str(self.data), "--listen", self.host]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._answers, shlex.join(command), self.process, self.log)
        return self

    def _answers(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            conn = http.client.HTTPConnection(self.host, timeout=5)
            with contextlib.closing(conn):
                conn.request("GET", "/v2/")
                return conn.getresponse().status == 200
        return False

    def stop(self):
        """End it the way a service manager does."""
        self.process.terminate()
        status = self.process.wait(30)
        assert status == 0, f"berth ended with status {status} on SIGTERM"

    def kill(self):
        """End it the way a power cut does, as far as the process is concerned."""
        self.process.kill()
        self.process.wait()

    def close(self):
        """End it, if the test has not, and look at how it ended."""
        try:
            if self.process and self.process.poll() is None:
                self.stop()
        finally:
            if self.process and self.process.poll() is None:
                self.kill()
            told = self.log.read_text(errors="replace") if self.log.exists() else ""
            print(f"--- log of {self.host} ---\n{told[-20000:]}")
        assert not any(mark in told for mark in SANITIZER_MARKS), told

    def docker(self, name):
        """The name of an image here, as skopeo writes it."""
        return f"docker://{self.host}/{name}"

    def get(self, path, accept=images.ANY_MANIFEST):
        """The body and the headers of an answer."""
        request = urllib.request.Request(f"http://{self.host}{path}", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read(), answer.headers

    def manifest(self, repo, reference):
        return self.get(f"/v2/{repo}/manifests/{reference}")[0]

    def digest(self, repo, reference):
        """The digest of what a tag names, computed from the bytes."""
        body, headers = self.get(f"/v2/{repo}/manifests/{reference}")
        assert headers["Docker-Content-Digest"] == images.sha256(body)
        return images.sha256(body)

    def tags(self, repo):
        return json.loads(self.get(f"/v2/{repo}/tags/list")[0])["tags"]

    def count_requests(self, **fields):
        """How many requests with these fields are in the log so far."""
        wanted = [rf"\b{key}={value}\b" for key, value in fields.items()]
        lines = self.log.read_text(errors="replace").splitlines()
        return sum(all(re.search(w, line) for w in wanted) for line in lines)

    def blob_files(self):
        """The names of all files that are blobs on the disk."""
        return sorted(f.name for f in (self.data / "blobs").rglob("*") if f.is_file())

    def status_field(self, name):
        """A number of /proc/PID/status, such as VmHWM, in KiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+) kB", status, re.M)[1])


class Client:
    """A client program with a folder for all it keeps."""

    def __init__(self, folder):
        self.folder = Path(folder)
        for name in ("lib", "home", "run", "tmp"):
            (self.folder / name).mkdir(parents=True)
        # No proxy, no login and no setting of whoever runs the tests; Debian's programs, even
        # where a newer docker stands in /usr/local/bin.
        self.env = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.folder / "home"),
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "TMPDIR": str(self.folder / "tmp"),
            "LC_ALL": "C.UTF-8",
        }

    def boxed(self, command):
        return ["unshare", "--mount", "--propagation", "private",
                "sh", "-ec", BOX, str(self.folder), *map(str, command)]

    def run(self, *command, check=True, stdin=None, stdout=None, timeout=COMMAND_SECONDS):
        """Run one command; its standard output, or the finished process when check is off."""
        done = subprocess.run(
            self.boxed(command), env=self.env, cwd=self.folder, timeout=timeout,
            input=stdin, stdout=stdout or subprocess.PIPE, stderr=subprocess.PIPE)
        done.stdout = (done.stdout or b"").decode(errors="replace")
        done.stderr = done.stderr.decode(errors="replace")
        if not check:
            return done
        assert done.returncode == 0, (
            f"{shlex.join(map(str, command))}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def close(self):
        pass


class Engine(Client):
    """A client whose work is done by a server of its own."""

    def __init__(self, folder):
        super().__init__(folder)
        self.log = self.folder / "engine.log"
        self.process = None

    def start_engine(self, command, ready):
        # With --kill-child and an own process namespace, whatever the engine has started ends
        # with it, and --pdeathsig ends it with the tests.
        command = ["setpriv", "--pdeathsig", "KILL",
                   "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *self.boxed(command)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.env, cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until(ready, shlex.join(command), self.process, self.log)
        except AssertionError:
            self.close()
            raise

    def close(self):
        self.process.kill()
        self.process.wait()


class Docker(Engine):
    def __init__(self, folder):
        super().__init__(folder)
        socket_ = f"unix://{self.folder}/docker.sock"
        self.client = ("/usr/bin/docker", "--host", socket_)
        self.env["DOCKER_CLI_EXPERIMENTAL"] = "enabled"  # docker manifest asks for it
        config = self.folder / "daemon.json"
        config.write_text(json.dumps({"deprecated-key-path": str(self.folder / "key.json")}))
        self.start_engine(
            ["/usr/sbin/dockerd", "--config-file", config, "--host", socket_,
             "--data-root", self.folder / "data", "--exec-root", self.folder / "exec",
             "--pidfile", self.folder / "pid", "--storage-driver=vfs",
             "--iptables=false", "--ip6tables=false", "--bridge=none",
             "--insecure-registry", "127.0.0.0/8"],
            lambda: self("version", check=False).returncode == 0)

    def __call__(self, *args, **how):
        return self.run(*self.client, *args, **how)

    def image_id(self, name):
        return self("image", "inspect", "--format", "{{.Id}}", name).strip()

    def forget(self, *names):
        """Remove images, so that a pull must fetch everything."""
        self("rmi", "--force", *names)
        assert self("images", "--all", "--quiet") == ""

    def load(self, name, streams, arch=images.HERE[0]):
        """Make an image of these tar streams known; returns its id."""
        archive = self.folder / "tmp" / "load.tar"
        image_id = images.docker_archive(archive, name, streams, arch)
        self("load", "--input", archive)
        archive.unlink()
        return image_id

    def saved(self, name):
        """The id of an image and its layers' tar streams."""
        archive = self.folder / "tmp" / "save.tar"
        self("save", "--output", archive, name)
        return images.open_docker_archive(archive)


class Podman(Client):
    def __init__(self, folder):
        super().__init__(folder)
        self.client = ("podman", "--root", self.folder / "root", "--runroot", self.folder / "run",
                       "--tmpdir", self.folder / "tmp", "--storage-driver", "vfs",
                       "--cgroup-manager", "cgroupfs", "--events-backend", "none")

    def __call__(self, *args, **how):
        return self.run(*self.client, *args, **how)

    def push(self, *args, **how):
        return self("push", "--tls-verify=false", *args, **how)

    def pull(self, *args, **how):
        return self("pull", "--quiet", "--tls-verify=false", *args, **how)

    def image_id(self, name):
        return "sha256:" + self("image", "inspect", "--format", "{{.Id}}", name).strip()

    def forget(self, *names):
        self("rmi", "--force", *names)
        assert self("images", "--all", "--quiet") == ""

    def load(self, name, streams, arch=images.HERE[0]):
        archive = self.folder / "tmp" / "load.tar"
        image_id = images.docker_archive(archive, name, streams, arch)
        self("load", "--quiet", "--input", archive)
        archive.unlink()
        return image_id

    def saved(self, name):
        archive = self.folder / "tmp" / "save.tar"
        self("save", "--quiet", "--format", "docker-archive", "--output", archive, name)
        return images.open_docker_archive(archive)

    def tree(self, name):
        """The files of an image, as podman has unpacked them."""
        archive = self.folder / "tmp" / "tree.tar"
        self.run("sh", "-ec", 'out=$1 image=$2; shift 2; tar -C "$("$@" image mount "$image")" -cf "$out" .',
                 "sh", archive, name, *self.client)
        with archive.open("rb") as f:
            return images.tree_of_tar(f)


class Buildah(Client):
    def __init__(self, folder):
        super().__init__(folder)
        self.client = ("buildah", "--root", self.folder / "root", "--runroot", self.folder / "run",
                       "--storage-driver", "vfs")

    def __call__(self, *args, **how):
        return self.run(*self.client, *args, **how)


class Skopeo(Client):
    def __call__(self, *args, **how):
        return self.run("skopeo", *args, **how)

    def copy(self, source, target, *options, **how):
        plain = []
        if source.startswith("docker://"):
            plain.append("--src-tls-verify=false")
        if target.startswith("docker://"):
            plain.append("--dest-tls-verify=false")
        return self("copy", "--quiet", *plain, *options, source, target, **how)

    def inspect(self, image, *options):
        return self("inspect", "--tls-verify=false", *options, image)


class Containerd(Engine):
    def __init__(self, folder):
        super().__init__(folder)
        self.address = self.folder / "containerd.sock"
        config = self.folder / "config.toml"
        config.write_text(f"""
version = 2
root = "{self.folder}/root"
state = "{self.folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{self.address}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{self.folder}/opt"
""")
        self.start_engine(["/usr/bin/containerd", "--config", config],
                          lambda: self("version", check=False).returncode == 0)

    def __call__(self, *args, **how):
        return self.run("/usr/bin/ctr", "--address", self.address, *args, **how)

    def pull(self, name, *options):
        # The native snapshotter works on every file system.
        return self("images", "pull", "--plain-http", "--snapshotter", "native", *options, name)

    def push(self, name, *local):
        return self("images", "push", "--plain-http", name, *local)

    def requests(self, *args):
        """Run ctr with a dump of what it sends; the method and target of each request."""
        command, *rest = args
        done = self("images", command, "--http-dump", *rest, check=False)
        assert done.returncode == 0, done.stderr
        return re.findall(r'msg="([A-Z]+ /v2/\S*) HTTP/1.1"', done.stderr)

    def digest(self, name):
        for line in self("images", "list", f"name=={name}").splitlines()[1:]:
            return line.split()[2]
        raise AssertionError(f"containerd has no {name}")

    def load(self, layout, descriptor, name):
        """Import an image or an index of a layout under a name; all of its platforms."""
        archive = self.folder / "tmp" / "import.tar"
        layout.archive(archive, descriptor, name)
        self("images", "import", "--all-platforms", "--no-unpack", archive)
        archive.unlink()

    def forget(self):
        """Remove all images and, at once, their content."""
        names = self("images", "list", "--quiet").split()
        self("images", "remove", "--sync", *names)
        assert self("content", "list", "--quiet") == ""

    def tree(self, name):
        """The files of an image, as containerd has unpacked them."""
        target = self.folder / "mounted"
        target.mkdir()
        archive = self.folder / "tmp" / "tree.tar"
        # The mount lives and ends with the namespace of this one command.
        self.run("sh", "-ec", 'ctr --address "$0" images mount --snapshotter native "$1" "$2" >&2 && '
                 'tar -C "$2" -cf "$3" .', self.address, name, target, archive)
        with archive.open("rb") as f:
            return images.tree_of_tar(f)


class Bench:
    """What one test uses: makes registries, clients and layouts, and takes them away again."""

    def __init__(self, program):
        self.program = program
        self.folder = Path(tempfile.mkdtemp(prefix="berth-"))
        self._things = []
        self._names = itertools.count(1)

    def _new(self, kind):
        folder = self.folder / f"{kind}{next(self._names)}"
        folder.mkdir()
        return folder

    def _keep(self, thing):
        self._things.append(thing)
        return thing

    def registry(self, start=True):
        registry = self._keep(Registry(self.program, self._new("berth")))
        return registry.start() if start else registry

    def client(self, kind):
        return self._keep(kind(self._new(kind.__name__.lower())))

    def layout(self):
        return images.Layout(self._new("layout"))

    def path(self, name):
        return self.folder / name

    def close(self):
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.folder)
            for thing in self._things:
                stack.callback(thing.close)
