#!/usr/bin/env python3
"""Attacks on a client port, plain and with TLS: each has a bound on the memory that it may cost, a rule for what becomes of the attacker, and a
bystander that must be served meanwhile.

usage: clients.py [--ours ETCD] [--ports plain,tls] [--only NAME] [--long]       --long: those that wait for time limits"""
import argparse
import os
import random
import socket
import ssl
import struct
import sys
import tempfile
import time
import zlib

from victim import MB, Bystander, Memory, certificates, client_context
import etcdproc

try:
    import grpc                                 # noqa: only asked for
    from etcdapi import rpc
except ImportError as e:
    print("SKIP: gRPC for Python: %s" % e)
    sys.exit(etcdproc.SKIPPED)

import h2
from h2 import Conn, frame

RANGE, PUT, WATCH, KEEP_ALIVE = ("/etcdserverpb.KV/Range", "/etcdserverpb.KV/Put", "/etcdserverpb.Watch/Watch",
                                 "/etcdserverpb.Lease/LeaseKeepAlive")
ATTACKS = {}


def attack(bound_mb, long=False, tls_only=False):
    def add(f):
        ATTACKS[f.__name__] = (f, bound_mb, long, tls_only)
        return f
    return add


class Port:
    """Where to attack."""
    def __init__(self, server, port, tls):
        self.server, self.port, self.tls = server, port, tls

    def conn(self, **more):
        return Conn(self.port, tls=client_context() if self.tls else None, **more)

    def raw(self):
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def http1(self):
        s = self.raw()
        return client_context(("http/1.1",)).wrap_socket(s) if self.tls else s


def until_refused(c, make, most, what):
    """Sends what make() gives until the server ends the connection; how often it could."""
    for i in range(most):
        if not c.send(make(i)) or (i % 64 == 63 and not c.alive()):
            return i + 1
    for _ in range(20):
        if not c.alive():
            return most
    raise AssertionError("%d times %s and the connection lives" % (most, what))


# ---- floods of frames ----

@attack(32)
def rapid_reset(p):
    """Requests that are cancelled before they are answered (CVE-2023-39325)."""
    def make(i):
        sid = c.stream()
        return frame(h2.HEADERS, h2.END_HEADERS, sid, h2.head(PUT)) + frame(h2.RST_STREAM, 0, sid, struct.pack(">I", 8))
    c = p.conn()
    return "cut after %d" % until_refused(c, make, 20000, "a request and its reset")


@attack(32)
def rapid_reset_answered(p):
    """The same with requests that can be answered at once: no more than their number of requests."""
    c = p.conn()
    body = h2.message(rpc.RangeRequest(key=b"bystander").SerializeToString())
    for i in range(20000):
        sid = c.stream()
        if not c.send(frame(h2.HEADERS, h2.END_HEADERS, sid, h2.head(RANGE)) + frame(h2.DATA, h2.END_STREAM, sid, body) +
                      frame(h2.RST_STREAM, 0, sid, struct.pack(">I", 8))):
            break
        if i % 100 == 0:
            for _ in c.frames(0.001):
                pass
    return "%d sent" % i


def not_read(p, make, n=1500):
    """Frames that the server must answer, of which nothing is read."""
    c = p.conn(receive_bytes=4096)
    for i in range(n):
        if not c.send(b"".join(make(c) for _ in range(1000))):
            return "cut after %d" % (i * 1000)
    return "%d sent, %s" % (n * 1000, "cut" if not c.alive() else "held back")


@attack(32)
def bad_requests_not_read(p):
    """Requests without a path: ten bytes each, each is answered by a RST_STREAM that stays where it is."""
    return not_read(p, lambda c: frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, c.stream(), b"\x83"))


@attack(32)
def windows_of_no_stream(p):
    """WINDOW_UPDATE of nothing for a stream that is open: an error of that stream."""
    def make(c):
        sid = c.stream()
        return frame(h2.HEADERS, h2.END_HEADERS, sid, b"\x83\x87\x84\x01\x01a") + frame(h2.WINDOW_UPDATE, 0, sid, b"\0\0\0\0")
    return not_read(p, make)


@attack(300, long=True)
def refused_requests_not_read(p):
    """As many open requests as a connection may have, and then more that are refused."""
    start = b"\x83\x86" + h2.literal(b":path", PUT.encode()) + h2.literal(b":authority", b"x") + \
        h2.literal(b"content-type", b"application/grpc")
    return not_read(p, lambda c: frame(h2.HEADERS, h2.END_HEADERS, c.stream(), start), 1000)


@attack(32)
def continuation_flood(p):
    """Headers that never end (CVE-2023-45288)."""
    c = p.conn()
    c.send(frame(h2.HEADERS, 0, c.stream(), h2.head(RANGE)))
    n = until_refused(c, lambda i: frame(h2.CONTINUATION, 0, 1, h2.literal(b"x-%d" % i, b"y" * 16000)), 4000, "a CONTINUATION of 16 KB")
    return "cut after %d of 16 KB" % n


@attack(32)
def empty_continuation_flood(p):
    c = p.conn()
    c.send(frame(h2.HEADERS, 0, c.stream(), h2.head(RANGE)))
    return "cut after %d" % until_refused(c, lambda i: frame(h2.CONTINUATION, 0, 1) * 1000, 1000, "1,000 empty CONTINUATIONs")


@attack(32)
def hpack_bomb(p):
    """One long field in the table, named thousands of times."""
    c = p.conn()
    block = h2.head(RANGE) + h2.literal(b"bomb", b"x" * 3900, index=True)
    c.send(frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, c.stream(), block))
    resets = 0
    for i in range(200):
        sid = c.stream()
        if not c.send(frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, sid, h2.head(RANGE) + h2.indexed(62) * 14000)):
            break
    for kind, *_ in c.frames(2):
        resets += kind in (h2.RST_STREAM, h2.GOAWAY)
    assert resets or c.dead, "54 MB of headers were taken"
    return "%d of 200 requests of 54 MB refused" % resets


@attack(16)
def settings_flood(p):
    c = p.conn()
    return "cut after %d" % until_refused(c, lambda i: frame(h2.SETTINGS, 0, 0, struct.pack(">HI", 3, i)) * 10, 20000, "ten SETTINGS")


@attack(16)
def ping_flood(p):
    c = p.conn()
    return "cut after %d" % until_refused(c, lambda i: frame(h2.PING, 0, 0, b"12345678") * 10, 20000, "ten PINGs")


@attack(16)
def ping_ack_flood(p):
    c = p.conn()
    return "cut after %d" % until_refused(c, lambda i: frame(h2.PING, h2.ACK, 0, b"12345678") * 100, 20000, "a hundred answers to no PING")


@attack(16)
def priority_flood(p):
    """They mean nothing here, as is announced, and must not make a tree."""
    return ignored(p, lambda i: b"".join(frame(h2.PRIORITY, 0, 2 * (i * 100 + k) + 100001, struct.pack(">IB", 0, 1)) for k in range(100)))


@attack(16)
def empty_data_flood(p):
    c = p.conn()
    sid = c.request(PUT, None, end=False)
    return "cut after %d" % until_refused(c, lambda i: frame(h2.DATA, 0, sid) * 100, 20000, "a hundred empty DATA")


def ignored(p, make):
    c = p.conn()
    for i in range(2000):
        if not c.send(make(i)):
            return "cut after %d" % i
    sid = c.request(RANGE, rpc.RangeRequest(key=b"bystander").SerializeToString())
    assert any(s == sid for _, _, s, _ in c.frames(5)), "no answer behind them"
    return "2,000 times ignored"


@attack(16)
def unknown_frames(p):
    """Frames of no known kind are to be ignored; they may cost nothing."""
    return ignored(p, lambda i: frame(0x77, 0, 0, b"z" * 4000))


# ---- readers that do not read ----

def big_value(p):
    from etcdapi import Api
    api = Api(p.server.target)
    api.call("KV/Put", rpc.PutRequest(key=b"big", value=b"v" * MB), timeout=10)
    api.close()


@attack(96)
def window_0(p):
    """2,000 answers of 1 MB that may not be sent."""
    big_value(p)
    c = p.conn(settings=struct.pack(">HI", 4, 0))
    for i in range(2000):
        if not c.send(frame(h2.HEADERS, h2.END_HEADERS, c.stream(), h2.head(RANGE)) +
                      frame(h2.DATA, h2.END_STREAM, c.next_id - 2, h2.message(rpc.RangeRequest(key=b"big").SerializeToString()))):
            break
    time.sleep(3)
    return "2,000 answers of 1 MB held back"


@attack(96)
def never_reads(p):
    """The same with windows wide open, and a socket that is not read."""
    big_value(p)
    c = p.conn(settings=struct.pack(">HI", 4, 0x7fffffff), receive_bytes=4096)
    c.send(frame(h2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7fff0000 - 65535)))
    for i in range(2000):
        if not c.send(frame(h2.HEADERS, h2.END_HEADERS, c.stream(), h2.head(RANGE)) +
                      frame(h2.DATA, h2.END_STREAM, c.next_id - 2, h2.message(rpc.RangeRequest(key=b"big").SerializeToString()))):
            break
    time.sleep(3)
    return "2 GB of answers not read"


@attack(160)
def watch_not_read(p):
    """A watch of large events that is never read. The puts fill two write buffers of 64 MB, one collecting while the other is
    committed; the faster the machine, the more of both."""
    from etcdapi import Api
    c = p.conn(settings=struct.pack(">HI", 4, 0))
    for i in range(10):
        c.request(WATCH, rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=b"big")).SerializeToString(), end=False)
    api = Api(p.server.target)
    for i in range(300):
        api.call("KV/Put", rpc.PutRequest(key=b"big", value=b"w" * MB), timeout=10)
    api.call("KV/Compact", rpc.CompactionRequest(revision=api.call("KV/Range", rpc.RangeRequest(key=b"big", count_only=True)).header.revision))
    api.close()
    return "300 events of 1 MB to ten watches"


# ---- requests that are never finished ----

@attack(320)
def half_sent(p):
    """200 requests that announce 1.5 MB and stop short of it."""
    conns = [p.conn() for _ in range(20)]
    body = h2.message(b"x" * (1 << 20))[:-10]
    for c in conns:
        for _ in range(10):
            sid = c.request(PUT, None, end=False)
            for at in range(0, 60000, 16000):
                c.send(frame(h2.DATA, 0, sid, body[at:at + 16000]))
    time.sleep(1)
    for c in conns:
        c.close()
    return "200 of them"


@attack(16)
def huge_announced(p):
    """4 GB announced, nothing sent."""
    c = p.conn()
    for i in range(1000):
        sid = c.request(PUT, None, end=False)
        if not c.send(frame(h2.DATA, 0, sid, struct.pack(">BI", 0, 0xffffffff))):
            break
    texts = [f for f in c.frames(2) if f[0] in (h2.HEADERS, h2.RST_STREAM)]
    assert texts, "4 GB were accepted"
    return "refused"


@attack(288)
def many_streams(p):
    """100,000 streams of one connection, none with a request."""
    c = p.conn()
    opened = 0
    for i in range(1000):
        if not c.send(b"".join(frame(h2.HEADERS, h2.END_HEADERS, c.stream(), h2.head(PUT)) for _ in range(100))):
            break
        opened += 100
    time.sleep(1)
    return "%d open" % opened


@attack(128)
def many_connections(p):
    """3,000 connections that say nothing."""
    conns = []
    for i in range(3000):
        try:
            conns.append(p.raw())
        except OSError:
            break
    time.sleep(1)
    for s in conns:
        s.close()
    return "%d of them" % len(conns)


@attack(64)
def gzip_bomb(p):
    """1 GB of zeros in 1 MB."""
    z = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(z.compress(b"\0" * MB) for _ in range(1024)) + z.flush()
    assert len(bomb) < 1200000
    said = set()
    for i in range(10):
        c = p.conn()
        sid = c.stream()
        c.send(frame(h2.HEADERS, h2.END_HEADERS, sid, h2.head(PUT, (b"grpc-encoding", b"gzip"))))
        data = h2.message(bomb, 1)
        c.send(frame(h2.DATA, 0, sid, data[:16000]))
        window = any(kind == h2.WINDOW_UPDATE and s == sid for kind, _, s, _ in c.frames(0.5))
        assert window, "no window for a message of 1 MB"
        for at in range(16000, len(data), 16000):
            c.send(frame(h2.DATA, h2.END_STREAM if at + 16000 >= len(data) else 0, sid, data[at:at + 16000]))
        for kind, _, s, payload in c.frames(1):
            if s == sid and kind == h2.HEADERS:
                said.add(b"larger than max" in payload or len(payload))
    assert said, "no answer"
    return "refused: %s" % said


# ---- watches and leases without number ----

@attack(512)
def watches_without_number(p):
    """One stream asks for watches for as long as it may."""
    c = p.conn()
    sid = c.request(WATCH, None, end=False)
    sent = came = 0
    for i in range(300):
        batch = b"".join(h2.message(rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=b"w%d" % (i * 1000 + k))).SerializeToString())
                         for k in range(1000))
        out, got, closed = c.pour(sid, batch)
        sent, came = sent + out * 1000 // len(batch), came + got
        if closed or out < len(batch):
            break
    return "%d asked for, %d KB of answers, stream %s" % (sent, came >> 10, "cut" if closed or c.dead else "lives")


@attack(32)
def keep_alives_not_read(p):
    """Renewals by the million, answers never read."""
    c = p.conn(settings=struct.pack(">HI", 4, 0))
    sid = c.request(KEEP_ALIVE, None, end=False)
    batch = h2.message(rpc.LeaseKeepAliveRequest(ID=1).SerializeToString()) * 1000
    for i in range(2000):
        c.s.settimeout(2)
        try:
            c.s.sendall(frame(h2.DATA, 0, sid, batch))
        except OSError:
            break
        if i % 10 == 0:
            for kind, *_ in c.frames(0.001):
                pass
    return "stopped after %d" % (i * 1000)


# ---- HTTP/1 ----

def poured(s, first, rest):
    """Sends for as long as the server lets it, which must not be ten seconds; what was refused may be read for a moment and thrown away."""
    end, sent = time.monotonic() + 10, 0
    try:
        s.sendall(first)
        while time.monotonic() < end:
            s.sendall(rest)
            sent += len(rest)
    except OSError:
        return "cut after %d KB" % (sent >> 10)
    raise AssertionError("%d MB were taken, and the connection lives" % (sent >> 20))


@attack(32)
def http1_head(p):
    """A header without end."""
    return poured(p.http1(), b"GET /version HTTP/1.1\r\nHost: x\r\n", b"x: " + b"y" * 1000 + b"\r\n")


@attack(32)
def http1_line(p):
    return poured(p.http1(), b"GET /", b"a" * 65536)


@attack(64)
def gateway_body(p):
    """JSON of 1 GB."""
    return poured(p.http1(), b"POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n{\"key\":\"", b"A" * 65536)


@attack(64)
def gateway_depth(p):
    """JSON nested 300,000 deep, whole."""
    s = p.http1()
    body = b'{"compare":[' + b'{"a":' * 300000 + b"1" + b"}" * 300000 + b"]}"
    s.settimeout(10)
    s.sendall(b"POST /v3/kv/txn HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    status = s.recv(1 << 16).split(b"\r\n")[0]
    assert b" 4" in status, status
    return status.decode()


@attack(64)
def http1_pipeline(p):
    """Requests behind requests, answers not read."""
    s = p.http1()
    s.settimeout(3)
    sent = 0
    try:
        for i in range(20000):
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 10)
            sent += 10
    except OSError:
        pass
    return "stopped after %d" % sent


# ---- TLS ----

@attack(96, tls_only=True)
def handshake_flood(p):
    """500 handshakes begun and left, and as many whole ones as three seconds hold."""
    begun = []
    for _ in range(500):
        s = p.raw()
        s.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(32))
        begun.append(s)
    end, count = time.monotonic() + 3, 0
    while time.monotonic() < end:
        p.conn().close()
        count += 1
    return "500 left, %d made" % count


@attack(64, tls_only=True)
def tls_garbage(p):
    """Records that are none, and true ones with rubbish inside."""
    rng = random.Random(1)
    for i in range(300):
        s = p.raw()
        try:
            s.sendall(rng.choice([os.urandom(2000), b"\x16\x03\x03\x40\x00" + os.urandom(16384), b"\x17\x03\x03\x00\x10" + b"a" * 16,
                                  b"\x15\x03\x03\x00\x02\x02\x28"]))
        except OSError:
            pass
        s.close()
    return "300 of them"


# ---- slow ones ----

def gone(s, byte=b""):
    """Has the server closed it?"""
    s.settimeout(0.02)
    try:
        if byte:
            s.sendall(byte)
        return s.recv(1 << 16) == b""
    except socket.timeout:
        return False
    except OSError:
        return True


def cut_within(seconds, sockets, byte=b""):
    """Drips a byte a second into each; all must be closed in time."""
    end, left = time.monotonic() + seconds, list(sockets)
    while left and time.monotonic() < end:
        left = [s for s in left if not gone(s, byte)]
        time.sleep(1)
    assert not left, "%d of %d still open after %d s" % (len(left), len(sockets), seconds)


@attack(64, long=True)
def slow_heads(p):
    """Heads of HTTP/1.1 that come a byte a second."""
    sockets = [p.http1() for _ in range(100)]
    for s in sockets:
        s.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\nx-slow: ")
    cut_within(40, sockets, b"a")
    return "100 cut"


@attack(64, long=True)
def slow_headers(p):
    """Heads of HTTP/2 that do not end."""
    conns = [p.conn() for _ in range(100)]
    for c in conns:
        c.send(frame(h2.HEADERS, 0, 1, h2.head(RANGE)))
    cut_within(40, [c.s for c in conns])
    return "100 cut"


@attack(64, long=True)
def silence(p):
    """Connections that do not even say which protocol they speak."""
    sockets = [p.raw() for _ in range(300)]
    cut_within(40, sockets)
    return "300 cut"


@attack(64, long=True, tls_only=True)
def slow_handshakes(p):
    """Handshakes that do not go on (CVE-2026-73500)."""
    sockets = [p.raw() for _ in range(300)]
    for s in sockets:
        s.sendall(b"\x16\x03\x01")
    cut_within(15, sockets)
    return "300 cut"


def play(server, port, tls, only, slow):
    """Each against a process of its own, so that what the one left behind hides nothing of the next."""
    name, failures = "tls" if tls else "plain", 0
    for what, (run, bound_mb, long, tls_only) in ATTACKS.items():
        if (what != only if only else long != slow) or (tls_only and not tls):
            continue
        with server:
            p, bystander = Port(server, port, tls), Bystander(server.target)
            memory = Memory(server.process.pid)
            try:
                told = run(p)
                grown = memory.grown()
                bystander.end()
                assert server.process.poll() is None, "the server ended"
                assert grown <= bound_mb * MB, "%d MB more, bound %d" % (grown >> 20, bound_mb)
                print("%-5s %-26s %3d MB before, at most %4d more, bound %4d; bystander at most %4d ms; %s" %
                      (name, what, memory.before >> 20, grown >> 20, bound_mb, bystander.slowest * 1000, told), flush=True)
            except AssertionError as e:
                failures += 1
                print("%-5s %-26s FAILED: %s\n%s" % (name, what, e, server.log_tail() if server.process.poll() is not None else ""), flush=True)
        server.again()
    return failures


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    p.add_argument("--only")
    p.add_argument("--ports", default="plain,tls")
    p.add_argument("--long", action="store_true")
    args = p.parse_args()
    if not args.ours:
        print("SKIP: needs a server (CETCD_ETCD)")
        sys.exit(etcdproc.SKIPPED)
    failures = 0
    with tempfile.TemporaryDirectory() as certs:
        certificates(certs)
        tls_port = etcdproc.free_port()
        server = etcdproc.Server(args.ours, ["--cert-file=%s/server.pem" % certs, "--key-file=%s/server-key.pem" % certs,
                                             "--quota-backend-bytes=4294967296"])
        server.flags.append("--listen-client-urls=%s,https://127.0.0.1:%d" % (server.endpoint, tls_port))
        for tls in [t == "tls" for t in args.ports.split(",")]:
            failures += play(server, tls_port if tls else server.port, tls, args.only, args.long)
    sys.exit(1 if failures else 0)


main()
