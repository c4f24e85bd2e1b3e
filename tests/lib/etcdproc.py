"""A single etcd process, ours or Go's, on free loopback ports with a directory of its own.

    with Server("/path/to/etcd") as s:            starts, waits until it serves, stops and cleans up
        s.endpoint, s.target, s.dir, s.log_path
        s.kill(); s.start()                       same ports, same data
        s.ctl("put", "a", "b")                    subprocess.CompletedProcess of Go's etcdctl"""
import http.client
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

SKIPPED = 77                                    # meson's exit code for a test that could not run


class StartError(Exception):
    pass


_ports = set()


def is_sanitized(path):
    """Built with ASan or TSan: memory is not what it is otherwise."""
    with open(path, "rb") as f:
        program = f.read()
    return b"__tsan_init" in program or b"__asan_init" in program


def free_port():
    """Below the ephemeral range, so that no client connection of another test takes it meanwhile."""
    first = 20000 + os.getpid() * 7 % 10000
    for port in range(first, first + 2000):
        if port in _ports:
            continue
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        _ports.add(port)
        return port
    raise StartError("no free port")


def oracle(name):
    """Path of a Go binary (etcd, etcdctl, etcdutl, bbolt), or None. Built by `make oracle`."""
    here = os.path.dirname(os.path.abspath(__file__))
    directory = os.environ.get("CETCD_ORACLE") or os.path.join(here, "..", "..", "build-oracle")
    path = os.path.join(directory, name)
    return path if os.access(path, os.X_OK) else None


def get(port, path, method="GET", body=None, headers=None, timeout=10):
    """(status, headers, body) of one HTTP/1.1 request."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        return r.status, r.headers, r.read()
    finally:
        c.close()


class Server:
    def __init__(self, binary, flags=(), data_dir=None, env=None):
        self.binary, self.flags, self.env = binary, list(flags), env or {}
        self.root = tempfile.mkdtemp(prefix="etcdproc")
        self.dir = data_dir or os.path.join(self.root, "data")
        self.log_path = os.path.join(self.root, "log")
        self.port, self.peer_port = free_port(), free_port()
        self.target = "127.0.0.1:%d" % self.port
        self.endpoint = "http://" + self.target
        self.process = None

    def args(self):
        """Advertised URLs are the same for every server, so that ids and member lists are."""
        return [self.binary, "--name=n1", "--data-dir=" + self.dir, "--listen-client-urls=" + self.endpoint,
                "--advertise-client-urls=http://127.0.0.1:2379",
                "--listen-peer-urls=http://127.0.0.1:%d" % self.peer_port,
                "--initial-advertise-peer-urls=http://127.0.0.1:2380", "--initial-cluster=n1=http://127.0.0.1:2380",
                "--bcrypt-cost=4"] + self.flags

    def start(self, seconds=30):
        env = dict({k: v for k, v in os.environ.items() if not k.startswith("ETCD")}, **self.env)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.args(), stdout=log, stderr=log, env=env, cwd=self.root)
        end = time.monotonic() + seconds
        while not self.serves():
            if self.process.poll() is not None:
                raise StartError("%s ended with %d\n%s" % (self.binary, self.process.returncode, self.log_tail()))
            if time.monotonic() > end:
                self.kill()
                raise StartError("%s does not serve after %d s\n%s" % (self.binary, seconds, self.log_tail()))
            time.sleep(0.01)
        return self

    def serves(self):
        """Healthy, and the versions are settled: a moment after the start the leader writes them to the log."""
        try:
            return get(self.port, "/health?exclude=NOSPACE&exclude=CORRUPT", timeout=1)[0] == 200 and \
                b'"3.7.0","storage":"3.7.0"' in get(self.port, "/version", timeout=1)[2]
        except (OSError, http.client.HTTPException):
            return False

    def log_tail(self):
        with open(self.log_path, errors="replace") as f:
            return "".join(f.readlines()[-15:])

    def wait(self, seconds=20):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise StartError("does not stop\n" + self.log_tail())

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.wait()

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def ctl(self, *args, stdin=None, binary=None, timeout=30):
        env = dict({k: v for k, v in os.environ.items() if not k.startswith("ETCD")}, ETCDCTL_ENDPOINTS=self.endpoint)
        return subprocess.run([binary or oracle("etcdctl")] + list(args), input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=env, timeout=timeout, cwd=self.root)

    def again(self):
        """After the with, for another one: an empty directory of its own."""
        self.root = tempfile.mkdtemp(prefix="etcdproc")
        self.dir, self.log_path = os.path.join(self.root, "data"), os.path.join(self.root, "log")

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.kill() if exc[0] else self.stop()
        shutil.rmtree(self.root, True)
