#!/usr/bin/env python3
"""etcd gateway in front of servers made here: ends of one direction, a member that is down, a reader that does not read.

usage: gateway.py; CETCD_ETCD is the binary."""
import os
import re
import socket
import subprocess
import sys
import threading
import time

ETCD = os.environ["CETCD_ETCD"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """Reads to the end of what comes, then answers with its name and the number of bytes."""

    def __init__(self, name, port=0):
        self.name = name
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        first = s.recv(65536)
        if first.startswith(b"flood"):
            try:
                while True:
                    s.sendall(b"x" * 65536)
            except OSError:
                return
        n = len(first)
        while True:
            data = s.recv(65536)
            if not data:
                break
            n += len(data)
        s.sendall(b"%s %d" % (self.name, n))
        s.close()


class Gateway:
    def __init__(self, endpoints, *flags):
        self.port = free_port()
        self.lines = []
        self.process = subprocess.Popen([ETCD, "gateway", "start", "--listen-addr=127.0.0.1:%d" % self.port,
                                         "--endpoints=" + ",".join("127.0.0.1:%d" % p for p in endpoints), *flags],
                                        stderr=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.wait_line("ready to proxy client requests")

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def wait_line(self, text):
        for _ in range(500):
            if any(text in line for line in self.lines):
                return
            time.sleep(0.02)
        raise AssertionError("no line with %r in %s" % (text, "".join(self.lines)))

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ask(self, data):
        with self.connect() as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            answer = b""
            while True:
                part = s.recv(65536)
                if not part:
                    return answer
                answer += part

    def rss_kib(self):
        with open("/proc/%d/status" % self.process.pid) as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def stop(self):
        self.process.terminate()
        assert self.process.wait(10) == -15, self.process.returncode
        self.reader.join()
        assert not [line for line in self.lines if "Sanitizer" in line or "fatal" in line], self.lines


def check_turns_and_half_close():
    a, b = Server(b"a"), Server(b"b")
    g = Gateway([a.port, b.port])
    big = b"y" * (5 << 20)
    answers = sorted(g.ask(big) for _ in range(4))
    assert answers == [b"a %d" % len(big)] * 2 + [b"b %d" % len(big)] * 2, answers
    g.stop()


def check_dead_member():
    a, dead = Server(b"a"), free_port()
    g = Gateway([dead, a.port], "--retry-delay=300ms")
    assert [g.ask(b"q") for _ in range(3)] == [b"a 1"] * 3
    g.wait_line("deactivated endpoint")
    g.wait_line("failed to activate endpoint (stay inactive for another interval)")
    b = Server(b"b", dead)
    g.wait_line('"activated"')
    assert sorted(g.ask(b"q") for _ in range(2)) == [b"a 1", b"b 1"]
    assert '"interval":"300ms"' in "".join(g.lines)
    g.stop()
    b.listener.close()


def check_nobody():
    g = Gateway([free_port()])
    try:
        assert g.ask(b"q") == b""
    except ConnectionError:
        pass
    g.stop()


def check_slow_reader():
    a = Server(b"a")
    g = Gateway([a.port])
    before = g.rss_kib()
    readers = [g.connect() for _ in range(20)]
    for s in readers:
        s.sendall(b"flood")
    time.sleep(1)
    grown = g.rss_kib() - before
    assert grown < 8 * 1024, "%d KiB for 20 connections that nobody reads" % grown
    g.stop()
    for s in readers:
        s.close()


for check in [check_turns_and_half_close, check_dead_member, check_nobody, check_slow_reader]:
    check()
    print("ok", check.__name__)
sys.exit(0)
