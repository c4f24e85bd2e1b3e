"""HTTP/2 frames by hand, for clients that do what no library would.

    c = Conn(port, tls=context or None)         preface and SETTINGS are sent
    sid = c.request("/etcdserverpb.KV/Range", body)     headers and one gRPC message; no answer is waited for
    c.send(frame(DATA, 0, sid, b"..."))
    for kind, flags, sid, payload in c.frames(seconds): ...
    c.alive()                                   False once the server has closed or reset"""
import select
import socket
import struct
import time

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def integer(prefix_bits, first, n):
    most = (1 << prefix_bits) - 1
    if n < most:
        return bytes([first | n])
    out, n = [first | most], n - most
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + [n])


def string(s):
    return integer(7, 0, len(s)) + s


def literal(name, value, index=False):
    """A field with its name; index: into the dynamic table as well."""
    return (b"\x40" if index else b"\x00") + string(name) + string(value)


def indexed(i):
    return integer(7, 0x80, i)


def head(path, *more):
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode()), (b":authority", b"localhost"),
              (b"content-type", b"application/grpc"), (b"te", b"trailers")] + list(more)
    return b"".join(literal(n, v) for n, v in fields)


def message(body, flag=0):
    return struct.pack(">BI", flag, len(body)) + body


class Conn:
    def __init__(self, port, tls=None, settings=b"", alpn=True, receive_bytes=0):
        raw = socket.socket()
        if receive_bytes:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        raw.settimeout(10)
        raw.connect(("127.0.0.1", port))
        self.s = tls.wrap_socket(raw, server_hostname="localhost") if tls else raw
        self.next_id, self.dead, self.buffer = 1, False, b""
        self.windows = {0: 65535}               # what may be sent; others 65,535 at first
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def send(self, data):
        """False once the server has gone."""
        if self.dead:
            return False
        try:
            self.s.settimeout(5)
            self.s.sendall(data)
        except (OSError, ValueError):
            self.dead = True
        return not self.dead

    def stream(self):
        sid, self.next_id = self.next_id, self.next_id + 2
        return sid

    def request(self, path, body=None, more=(), end=True, flag=0):
        sid = self.stream()
        out = frame(HEADERS, END_HEADERS | (END_STREAM if body is None and end else 0), sid, head(path, *more))
        if body is not None:
            out += frame(DATA, END_STREAM if end else 0, sid, message(body, flag))
        self.send(out)
        return sid

    def frames(self, seconds=1.0):
        """What comes within that time."""
        end = time.monotonic() + seconds
        while not self.dead and time.monotonic() < end:
            self.s.settimeout(max(0.01, end - time.monotonic()))
            try:
                data = self.s.recv(1 << 16)
            except socket.timeout:
                break
            except (OSError, ValueError):
                data = b""
            if not data:
                self.dead = True
            self.buffer += data
            while len(self.buffer) >= 9:
                size = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) < 9 + size:
                    break
                kind, flags, sid = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big") & 0x7fffffff
                payload, self.buffer = self.buffer[9:9 + size], self.buffer[9 + size:]
                if kind == WINDOW_UPDATE:
                    self.windows[sid] = self.windows.get(sid, 65535) + int.from_bytes(payload, "big")
                yield kind, flags, sid, payload

    def pour(self, sid, data, seconds=10, end=False):
        """DATA as the windows allow, giving back what comes meanwhile. (bytes sent, bytes of DATA that came, closed by the server)"""
        at, came, closed, until = 0, 0, False, time.monotonic() + seconds
        while at < len(data) and not self.dead and not closed and time.monotonic() < until:
            room = min(self.windows[0], self.windows.setdefault(sid, 65535), 16000)
            part = data[at:at + room]
            if part and self.send(frame(DATA, END_STREAM if end and at + len(part) == len(data) else 0, sid, part)):
                at += len(part)
                self.windows[0] -= len(part)
                self.windows[sid] -= len(part)
            for kind, _, s, payload in self.frames(0.0005 if part else 0.05):
                closed |= s == sid and kind == RST_STREAM
                if kind == DATA and payload:
                    came += len(payload)
                    more = struct.pack(">I", len(payload))
                    self.send(frame(WINDOW_UPDATE, 0, 0, more) + frame(WINDOW_UPDATE, 0, s, more))
        return at, came, closed

    def goaway(self, seconds=3.0):
        """Debug text of the server's GOAWAY; None without one."""
        for kind, _, _, payload in self.frames(seconds):
            if kind == GOAWAY and int.from_bytes(payload[4:8], "big"):
                return payload[8:].decode(errors="replace") or "code %d" % int.from_bytes(payload[4:8], "big")
        return None

    def alive(self):
        for kind, *_ in self.frames(0.2):
            if kind == GOAWAY:
                return False
        return not self.dead

    def close(self):
        self.dead = True
        self.s.close()
