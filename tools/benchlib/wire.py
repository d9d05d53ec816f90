"""A small HTTP/1.1 client that costs little: bodies leave by sendfile and are dropped on arrival."""

import os
import socket
import struct
import urllib.parse

TIMEOUT_S = 60
READ_BYTES = 256 * 1024     # large enough to make system calls rare, small enough for the CPU's cache
HEAD_MAX_BYTES = 64 * 1024


class WireError(Exception):
    """The answer is not one that can be measured."""


class Reply:
    def __init__(self, status, headers):
        self.status = status
        self.headers = headers
        self.length = 0
        self.body = b''

    def header(self, name):
        return self.headers.get(name.lower(), '')


def authority(host, port):
    return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'


class Conn:
    """One keep-alive connection; it is opened again when the server closes it."""

    def __init__(self, host, port):
        self.host = host
        self.port = port
        self.sock = None
        self.rest = b''
        self.buf = bytearray(READ_BYTES)

    def open(self):
        self.close()
        sock = socket.create_connection((self.host, self.port), TIMEOUT_S)
        # A timeout of Python's makes the socket non-blocking, which os.sendfile would have to poll:
        # the kernel's own timeouts keep it blocking.
        sock.settimeout(None)
        limit = struct.pack('@ll', TIMEOUT_S, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.rest = b''
        return self

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock = None

    def send(self, method, target, headers=(), body=b'', fd=-1, fd_bytes=0):
        """Send a request whose body is the first fd_bytes of fd, then body."""
        if not self.sock:
            self.open()
        lines = [f'{method} {target} HTTP/1.1', 'Host: ' + authority(self.host, self.port)]
        lines += [f'{name}: {value}' for name, value in headers]
        if method not in ('GET', 'HEAD'):
            lines.append(f'Content-Length: {fd_bytes + len(body)}')
        head = ('\r\n'.join(lines) + '\r\n\r\n').encode()
        if not fd_bytes:
            self.sock.sendall(head + body)
            return
        self.sock.sendall(head, socket.MSG_MORE)
        done = 0
        while done < fd_bytes:
            sent = os.sendfile(self.sock.fileno(), fd, done, fd_bytes - done)
            if sent == 0:
                raise WireError('the file to send is shorter than it was')
            done += sent
        self.sock.sendall(body)

    def receive(self, method, sink=None):
        """Read one reply. sink takes the body piece by piece; without one a body is kept."""
        head, self.rest = self._head()
        lines = head.decode('latin-1').split('\r\n')
        words = lines[0].split(' ', 2)
        if len(words) < 2 or not words[1].isdigit():
            raise WireError(f'not an HTTP reply: {lines[0][:60]}')
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(':')
            headers[name.strip().lower()] = value.strip()
        reply = Reply(int(words[1]), headers)
        if reply.status == 100:
            return self.receive(method, sink)
        if method != 'HEAD' and reply.status not in (204, 304):
            self._body(reply, sink)
        if 'close' in reply.header('Connection').lower() or words[0] == 'HTTP/1.0':
            self.close()
        return reply

    def call(self, method, target, headers=(), body=b'', fd=-1, fd_bytes=0, sink=None):
        try:
            self.send(method, target, headers, body, fd, fd_bytes)
            return self.receive(method, sink)
        except (OSError, WireError):
            self.close()
            raise

    def _head(self):
        got = self.rest
        while b'\r\n\r\n' not in got:
            piece = self.sock.recv(READ_BYTES)
            if not piece:
                raise WireError('the server closed the connection')
            got += piece
            if len(got) > HEAD_MAX_BYTES + READ_BYTES:
                raise WireError('endless reply head')
        head, _, rest = got.partition(b'\r\n\r\n')
        return head, rest

    def _take(self, reply, sink, piece):
        reply.length += len(piece)
        if sink:
            sink(piece)
        else:
            reply.body += piece

    def _body(self, reply, sink):
        if 'chunked' in reply.header('Transfer-Encoding').lower():
            self._chunks(reply, sink)
            return
        if not reply.header('Content-Length').isdigit():
            raise WireError('a reply without Content-Length')
        left = int(reply.header('Content-Length'))
        if self.rest and left:
            piece, self.rest = self.rest[:left], self.rest[left:]
            self._take(reply, sink, piece)
            left -= len(piece)
        view = memoryview(self.buf)
        while left:
            n = self.sock.recv_into(view, min(left, READ_BYTES))
            if n == 0:
                raise WireError('the body ended early')
            self._take(reply, sink, view[:n])
            left -= n

    def _chunks(self, reply, sink):
        """Only small replies (lists, errors) are chunked: clarity over speed."""
        while True:
            size = int(self._line().split(b';')[0], 16)
            while len(self.rest) < size + 2:
                self._more()
            if size:
                self._take(reply, sink, self.rest[:size])
            self.rest = self.rest[size + 2:]
            if size == 0:
                return

    def _line(self):
        while b'\r\n' not in self.rest:
            self._more()
        line, _, self.rest = self.rest.partition(b'\r\n')
        return line

    def _more(self):
        piece = self.sock.recv(READ_BYTES)
        if not piece:
            raise WireError('the body ended early')
        self.rest += piece


def drop(_piece):
    """A sink that forgets."""


def with_query(location, query):
    """The request target a Location stands for (absolute or not), with one more query parameter."""
    parts = urllib.parse.urlsplit(location)
    both = '&'.join(q for q in (parts.query, query) if q)
    return parts.path + ('?' + both if both else '')
