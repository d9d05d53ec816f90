"""The registries being measured: how each is started, stopped and looked at."""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

from . import wire

START_LIMIT_S = 60
STOP_LIMIT_S = 20
POLL_S = 0.0005


class ServerError(Exception):
    """A registry cannot be installed, started or asked."""


def free_port():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


def clean_env(*prefixes):
    """The environment without settings of the user's that would change what is measured."""
    return {k: v for k, v in os.environ.items() if not k.startswith(prefixes)}


def first_line(argv, env=None):
    try:
        out = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, timeout=20, env=env, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ''
    lines = out.decode('utf-8', 'replace').split('\n')
    return lines[0].strip()


def process_tree(pid):
    """pid and every descendant that runs now."""
    parents = {}
    for name in os.listdir('/proc'):
        if not name.isdigit():
            continue
        try:
            with open(f'/proc/{name}/stat', encoding='utf-8', errors='replace') as f:
                # The command name may hold anything, also ") ": what follows its last one is numbers.
                parents[int(name)] = int(f.read().rpartition(')')[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
    tree = [pid]
    for known in tree:
        tree += [p for p, parent in parents.items() if parent == known]
    return tree


def send(pids, signum):
    for pid in pids:
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            continue


def status_kib(pid, field):
    with open(f'/proc/{pid}/status', encoding='utf-8', errors='replace') as f:
        for line in f:
            if line.startswith(field + ':'):
                return int(line.split()[1])
    return 0


class Server:
    """A registry under a URL. One that somebody else runs has no pid here, so its process rows stay empty."""

    durability = 'whatever it was set up to do'

    def __init__(self, name, url):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != 'http' or not parts.hostname:
            raise ServerError(f'{name}: {url}: only http://HOST[:PORT] can be measured')
        self.name = name
        self.host = parts.hostname
        self.port = parts.port or 80
        self.proc = None
        self.program = None
        self.version = url

    local = False

    def conn(self):
        return wire.Conn(self.host, self.port)

    def url(self, target):
        return f'http://{wire.authority(self.host, self.port)}{target}'

    def cpu_seconds(self):
        """CPU time of the process tree so far (user and system), or None."""
        if not self.proc:
            return None
        total = 0.0
        for pid in process_tree(self.proc.pid):
            try:
                # The clock of another process, as clock_getcpuclockid(3) makes it: utime + stime of
                # /proc/PID/stat in nanoseconds instead of hundredths of a second.
                total += time.clock_gettime((~pid << 3) | 2)
            except OSError:
                continue
        return total

    def memory_mib(self, field):
        """VmRSS or VmHWM summed over the process tree, in MiB, or None."""
        if not self.proc:
            return None
        total = 0
        for pid in process_tree(self.proc.pid):
            try:
                total += status_kib(pid, field)
            except OSError:
                continue
        return total / 1024

    def size_mib(self):
        return os.path.getsize(self.program) / 2**20 if self.program else None

    def stop(self):
        """Nothing to do for a registry that was running before."""


class Local(Server):
    """A registry that is started here, on a data directory of its own."""

    local = True

    def __init__(self, name, program):
        super().__init__(name, 'http://127.0.0.1:1')
        self.program = program
        self.wrapped = False

    def argv(self, data):
        raise NotImplementedError

    def env(self):
        raise NotImplementedError

    def start(self, data, wrapper=(), first=None):
        """Start on data and wait until first(conn) holds (default: /v2/ answers). Seconds it took."""
        self.port = free_port()
        self.wrapped = bool(wrapper)
        argv = list(wrapper) + self.argv(data)
        begin = time.monotonic()
        # Its log goes where writing costs nothing; both write a line per request.
        self.proc = subprocess.Popen(argv, env=self.env(), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                     start_new_session=True)
        while True:
            conn = self.conn()
            try:
                conn.open()
                if first:
                    first(conn)
                elif conn.call('GET', '/v2/').status != 200:
                    raise ServerError(f'{self.name}: /v2/ does not answer 200')
                return time.monotonic() - begin
            except ConnectionRefusedError:
                pass
            finally:
                conn.close()
            if self.proc.poll() is not None:
                status = self.proc.returncode
                self.proc = None
                raise ServerError(f'{self.name} ended with status {status} at start: ' + ' '.join(argv))
            if time.monotonic() - begin > START_LIMIT_S:
                self.stop()
                raise ServerError(f'{self.name} does not listen after {START_LIMIT_S} s: ' + ' '.join(argv))
            time.sleep(POLL_S)

    def stop(self):
        if not self.proc:
            return
        proc, self.proc = self.proc, None
        pids = process_tree(proc.pid)
        # A wrapper (strace) ends when the registry, its child, does.
        send(pids[1:2] if self.wrapped else [proc.pid], signal.SIGTERM)
        try:
            proc.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            send(pids, signal.SIGKILL)
            proc.wait()


class Berth(Local):
    durability = ('each 201 waits for fdatasync of the content, fsync of the folder after the rename, '
                  'and a synchronous catalog commit')

    def __init__(self, program):
        if not os.access(program, os.X_OK):
            raise ServerError(f'no program {program}: build it with tools/build or name it in BERTH')
        super().__init__('berth', os.path.abspath(program))
        self.version = first_line([self.program, 'version'], self.env())

    def argv(self, data):
        # The empty settings file keeps out /etc/berth.conf: what is measured are the defaults.
        return [self.program, 'serve', '--config', '/dev/null', '--data', data,
                '--listen', f'127.0.0.1:{self.port}']

    def env(self):
        return clean_env('BERTH')


class DockerRegistry(Local):
    # Read off registry/storage/driver/filesystem/driver.go and blobwriter.go of 2.8.2: fileWriter.Commit
    # and fileWriter.Close call Sync on the file, PutContent (links) does both; Move is a bare rename.
    durability = ('fsync of the content and of each link file before the 201, never of a folder: '
                  'that the names last is left to the file system')

    CONFIG = '''version: 0.1
log:
  level: error
storage:
  filesystem:
    rootdirectory: {data}
  cache:
    blobdescriptor: inmemory
  delete:
    enabled: true
  maintenance:
    uploadpurging:
      enabled: false
http:
  addr: 127.0.0.1:{port}
  secret: any
'''

    def __init__(self, program):
        super().__init__('docker-registry', program)
        self.version = first_line([program, '--version'], self.env())

    def argv(self, data):
        config = data.rstrip('/') + '.yml'
        with open(config, 'w', encoding='utf-8') as f:
            f.write(self.CONFIG.format(data=data, port=self.port))
        return [self.program, 'serve', config]

    def env(self):
        return clean_env('REGISTRY_', 'OTEL_')


def run_apt(argv, cwd=None):
    done = subprocess.run(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False,
                          env={**os.environ, 'DEBIAN_FRONTEND': 'noninteractive'})
    return done.returncode, done.stdout.decode('utf-8', 'replace')


def find_docker_registry(cache):
    """Debian's docker-registry. When it is not installed, its package is only unpacked: installing
    would also start it as a service of this machine."""
    for path in (shutil.which('docker-registry'), os.path.join(cache, 'usr/bin/docker-registry')):
        if path and os.access(path, os.X_OK):
            return path
    if not shutil.which('apt-get') or not shutil.which('dpkg'):
        raise ServerError('docker-registry is not installed, and there is no apt-get to get it with')
    os.makedirs(cache, exist_ok=True)
    code, text = run_apt(['apt-get', 'download', 'docker-registry'], cache)
    if code and os.geteuid() == 0:
        run_apt(['apt-get', 'update'])
        code, text = run_apt(['apt-get', 'download', 'docker-registry'], cache)
    if code:
        raise ServerError('apt-get download docker-registry: ' + text.strip()[-300:])
    for name in sorted(os.listdir(cache)):
        if name.endswith('.deb'):
            subprocess.run(['dpkg', '-x', name, '.'], cwd=cache, check=True)
            os.unlink(os.path.join(cache, name))
    return os.path.join(cache, 'usr/bin/docker-registry')


def find_wrk():
    if not shutil.which('wrk'):
        if os.geteuid() != 0 or not shutil.which('apt-get'):
            raise ServerError('wrk is not installed: apt-get install wrk')
        argv = ['apt-get', '-o', 'DPkg::Lock::Timeout=300', 'install', '-y', '--no-install-recommends', 'wrk']
        code, text = run_apt(argv)
        if code:
            run_apt(['apt-get', 'update'])
            code, text = run_apt(argv)
        if code:
            raise ServerError('apt-get install wrk: ' + text.strip()[-300:])
    return shutil.which('wrk')
