"""Clients of the application: registers with one writer each, and readers. What they see must be one order in real time: a read that
begins after a write was acknowledged, or after another read had seen it, sees it or a later one."""
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import grpc
from etcdapi import Api, rpc

UNSENT = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


class Register:
    def __init__(self, key):
        self.key = key.encode()
        self.lock = threading.Lock()
        self.tried = self.least = 0     # the newest value that was sent; the oldest that a read from now on may see


class Client:
    """Calls members in turn; the first that answers stays."""

    def __init__(self, addresses, password):
        self.addresses, self.password = addresses, password
        self.api = None
        self.turn = 0

    def call(self, name, request, timeout):
        if self.api is None:
            known = self.addresses()
            if not known:
                raise ConnectionError("no member is known")
            self.turn += 1
            self.api = Api(known[self.turn % len(known)])
            try:
                token = self.api.call("Auth/Authenticate", rpc.AuthenticateRequest(name="root", password=self.password), timeout=3).token
            except grpc.RpcError:
                self.drop()
                raise ConnectionError("cannot authenticate")
            self.api.metadata = [("token", token)]
        try:
            return self.api.call(name, request, timeout=timeout)
        except grpc.RpcError:
            self.drop()
            raise

    def drop(self):
        self.api.close()
        self.api = None


class Load:
    """addresses() names the members (host:port) at the moment."""

    def __init__(self, addresses, password, writers=4):
        self.addresses, self.password = addresses, password
        self.registers = [Register("load/%d/0" % i) for i in range(writers)]
        self.left = []                  # registers whose last write has no answer: it may come late, so nobody writes there again
        self.stop_now = threading.Event()
        self.errors, self.latencies, self.unknown, self.reads = [], [], 0, 0
        self.last_ack = time.monotonic()
        self.longest_gap = 0
        self.gap_lock = threading.Lock()
        self.threads = [threading.Thread(target=self.work, args=(f, i), daemon=True) for i in range(writers) for f in (self.write, self.read)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop_now.set()
        for t in self.threads:
            t.join(60)

    def work(self, function, i):
        client = Client(self.addresses, self.password)
        while not self.stop_now.is_set() and not self.errors:
            try:
                function(client, i)
            except ConnectionError:
                time.sleep(0.2)
            except Exception as e:
                self.errors.append("%s %d: %r" % (function.__name__, i, e))

    def write(self, client, i):
        register = self.registers[i]
        register.tried = value = register.tried + 1
        began = time.monotonic()
        try:
            client.call("KV/Put", rpc.PutRequest(key=register.key, value=b"%d" % value), 5)
        except ConnectionError:
            register.tried -= 1         # nothing was sent
            raise
        except grpc.RpcError as e:
            if e.code() in UNSENT:
                register.tried -= 1
                return
            self.unknown += 1
            self.left.append(register)
            self.registers[i] = Register("load/%d/%d" % (i, self.unknown))
            return
        now = time.monotonic()
        with register.lock:
            register.least = max(register.least, value)
        with self.gap_lock:
            self.latencies.append(now - began)
            self.longest_gap, self.last_ack = max(self.longest_gap, now - self.last_ack), now
        time.sleep(0.01)

    def read(self, client, i):
        register = self.registers[(i + 1) % len(self.registers)]
        with register.lock:
            least = register.least
        try:
            kvs = client.call("KV/Range", rpc.RangeRequest(key=register.key), 5).kvs
        except grpc.RpcError:
            return
        self.saw(register, int(kvs[0].value) if kvs else 0, least)
        self.reads += 1
        time.sleep(0.02)

    def saw(self, register, value, least):
        if not least <= value <= register.tried:
            self.errors.append("%s is %d, must be %d to %d" % (register.key.decode(), value, least, register.tried))
        with register.lock:
            register.least = max(register.least, value)

    def final(self):
        """Every register once more, after all is over; the problems, if any."""
        client, end = Client(self.addresses, self.password), time.monotonic() + 60
        for register in self.registers + self.left:
            while True:
                try:
                    kvs = client.call("KV/Range", rpc.RangeRequest(key=register.key), 5).kvs
                    break
                except (grpc.RpcError, ConnectionError) as e:
                    if time.monotonic() > end:
                        return self.errors + ["no final read: %r" % e]
                    time.sleep(0.3)
            self.saw(register, int(kvs[0].value) if kvs else 0, register.least)
        return self.errors

    def told(self):
        l = sorted(self.latencies)
        return "%d writes acknowledged, %d without an answer, %d reads; p50 %.1f ms, p99 %.0f ms, longest time without an acknowledged write %.1f s" % (
            len(l), self.unknown, self.reads, l[len(l) // 2] * 1e3, l[int(len(l) * .99)] * 1e3, self.longest_gap)
