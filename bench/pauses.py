"""One client's puts, one after the other, while the server works on its file: nothing, commits of another client's writes, a
compaction that removes half of the database, a defragmentation that gives the room back. Each time beside what fdatasync
alone takes on a file in the same directory while as many bytes are written there as the server wrote."""
import os
import subprocess
import tempfile
import threading
import time

from etcdapi import Api, rpc

VALUE_BYTES = 1900              # two rows a page
BLOCK = 100                     # keys of one transaction; every other block is deleted


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def key(i):
    return b"pause/%09d" % i


def in_threads(count, todo, work):
    lock = threading.Lock()

    def loop():
        while True:
            with lock:
                one = next(todo, None)
            if one is None:
                return
            work(one)

    threads = [threading.Thread(target=loop) for _ in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def fill(api, keys):
    call = api.channel.unary_unary("/etcdserverpb.KV/Txn")
    value = os.urandom(VALUE_BYTES // 2).hex().encode()

    def txn(first):
        puts = (field(1, key(i)) + field(2, value) for i in range(first, first + BLOCK))
        call(b"".join(field(2, field(2, p)) for p in puts), timeout=120)

    in_threads(4, iter(range(0, keys, BLOCK)), txn)


def delete_half(api, keys):
    def delete(first):
        api.call("KV/DeleteRange", rpc.DeleteRangeRequest(key=key(first), range_end=key(first + BLOCK)), timeout=120)

    in_threads(4, iter(range(0, keys, 2 * BLOCK)), delete)


class Puts:
    """h2load's log of single puts, run after run until told to stop."""

    def __init__(self, server, body):
        self.server, self.took_us, self.end = server, [], threading.Event()
        self.body = body
        self.thread = threading.Thread(target=self.run)

    def run(self):
        with tempfile.NamedTemporaryFile() as log:
            while not self.end.is_set():
                log.truncate(0)
                subprocess.run(["h2load", "-D", "1", "-c", "1", "-m", "1", "-d", self.body, "--log-file", log.name, "-H",
                                "content-type: application/grpc", "-H", "te: trailers",
                                self.server.endpoint + "/etcdserverpb.KV/Put"], stdout=subprocess.DEVNULL, check=True)
                self.took_us += [int(line.split()[2]) for line in open(log.name)]

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.end.set()
        self.thread.join()


def written_bytes(pid):
    with open("/proc/%d/io" % pid) as f:
        return int(dict(line.split(": ") for line in f)["write_bytes"])


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p / 100))] if values else float("nan")


def sync_alone_us(directory, bytes_per_second, seconds):
    """fdatasync of 512 bytes in a loop, beside a writer of the same bytes: 1 MiB, fdatasync, and so on."""
    end, took = time.monotonic() + seconds, []

    def background():
        part, path = b"x" * (1 << 20), os.path.join(directory, "background")
        fd = os.open(path, os.O_CREAT | os.O_WRONLY)
        start, done = time.monotonic(), 0
        while time.monotonic() < end:
            if done > (time.monotonic() - start) * bytes_per_second:
                time.sleep(0.001)
                continue
            os.pwrite(fd, part, done % (1 << 28))
            os.fdatasync(fd)
            done += len(part)
        os.close(fd)
        os.unlink(path)

    fd, path = tempfile.mkstemp(dir=directory)
    os.posix_fallocate(fd, 0, 1 << 24)
    os.fsync(fd)
    thread = threading.Thread(target=background)
    thread.start()
    while time.monotonic() < end:
        os.pwrite(fd, b"y" * 512, len(took) * 512 % (1 << 24))
        start = time.perf_counter()
        os.fdatasync(fd)
        took.append((time.perf_counter() - start) * 1e6)
    thread.join()
    os.close(fd)
    os.unlink(path)
    return took


def phase(server, body, figures, seconds, name, work):
    """work() beside puts, and the same seconds of nothing just before: other tenants of the disk come and go."""
    quiet = Puts(server, body)
    with quiet:
        time.sleep(seconds)
    start, before, busy = time.monotonic(), written_bytes(server.process.pid), Puts(server, body)
    with busy:
        work()
        took = time.monotonic() - start
    rate = (written_bytes(server.process.pid) - before) / (time.monotonic() - start)
    for p in (99, 99.9, 100):
        label = "Put p%g" % p if p < 100 else "longest Put"
        figures["%s, quiet before %s (us)" % (label, name)] = percentile(quiet.took_us, p)
        figures["%s during %s (us)" % (label, name)] = percentile(busy.took_us, p)
    figures["fdatasync alone p99.9 beside the bytes of %s (us)" % name] = \
        percentile(sync_alone_us(server.root, rate, min(max(took, 2), 10)), 99.9)
    return took


def writes_beside(api, seconds):
    """Another client's 4 MiB a second, for commits of 400 KB every 100 ms."""
    end, i = time.monotonic() + seconds, 0
    value = b"w" * 65536
    while time.monotonic() < end:
        api.call("KV/Put", rpc.PutRequest(key=b"beside/%d" % (i % 100), value=value), timeout=60)
        i += 1
        time.sleep(max(0, end - seconds + i / 64 - time.monotonic()))


def measure(server, quick):
    keys = 4000 if quick else 500000
    seconds = 1 if quick else 10
    api, figures = Api(server.target), {}
    body = tempfile.NamedTemporaryFile()
    put = rpc.PutRequest(key=b"one", value=b"v" * 256).SerializeToString()
    body.write(b"\0" + len(put).to_bytes(4, "big") + put)
    body.flush()
    fill(api, keys)
    time.sleep(seconds)
    phase(server, body.name, figures, seconds, "commits", lambda: writes_beside(api, seconds))
    delete_half(api, keys)
    time.sleep(seconds)
    revision = api.call("KV/Put", rpc.PutRequest(key=b"mark")).header.revision
    compact = rpc.CompactionRequest(revision=revision, physical=True)
    figures["compaction (s)"] = phase(server, body.name, figures, seconds, "compaction",
                                      lambda: api.call("KV/Compact", compact, timeout=600))
    status = api.call("Maintenance/Status", rpc.StatusRequest())
    figures["file before defragmentation (MB)"] = status.dbSize / 1e6
    figures["defragmentation (s)"] = phase(server, body.name, figures, seconds, "defragmentation",
                                           lambda: api.call("Maintenance/Defragment", rpc.DefragmentRequest(), timeout=600))
    status = api.call("Maintenance/Status", rpc.StatusRequest())
    figures["file / live data after defragmentation"] = status.dbSize / max(status.dbSizeInUse, 1)
    api.close()
    return figures
