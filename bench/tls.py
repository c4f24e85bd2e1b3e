"""TLS: whole and resumed handshakes (openssl s_time, which asks for /version each time), and Range and Put over it (h2load). The certificate
is ECDSA P-256, protocol and suite are what client and server settle on; both servers get the same files."""
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "tests", "lib"), os.path.join(HERE, "..", "tests", "tls")]

import authority
import etcdproc
from etcdapi import rpc


class Target:
    """What h2load is pointed at: the https listener of a server."""
    def __init__(self, port):
        self.endpoint = "https://127.0.0.1:%d" % port


def handshakes(port, ca, version, how, seconds, server_cpu):
    """(per second, server CPU of each in us): two clients at once, one connection after the other. None where the server resumes nothing."""
    args = ["openssl", "s_time", "-connect", "127.0.0.1:%d" % port, "-www", "/version", "-time", str(seconds), "-CAfile", ca, version, how]
    before = server_cpu()
    clients = [subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    outs = [c.communicate()[0] for c in clients]
    cpu = server_cpu() - before
    found = [re.search(r"(\d+) connections in (\d+) real seconds", out) for out in outs]
    if not all(found):
        raise SystemExit("openssl s_time failed:\n" + outs[0])
    n = sum(int(m.group(1)) for m in found)
    return n / seconds, cpu / n * 1e6


def resumes(port, version):
    """Whether a session that was saved is taken up again."""
    with tempfile.NamedTemporaryFile() as saved:
        args = ["openssl", "s_client", "-connect", "127.0.0.1:%d" % port, version, "-ign_eof"]
        ask = b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        subprocess.run(args + ["-sess_out", saved.name], input=ask, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out = subprocess.run(args + ["-sess_in", saved.name], input=ask, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    return b"Reused, TLSv1" in out


def measure(binary, quick, h2load, cpu_seconds, value):
    figures, seconds, requests = {}, 1 if quick else 3, 2000 if quick else 50000
    with tempfile.TemporaryDirectory(prefix="benchtls") as root:
        a = authority.Authority(os.path.join(root, "ca"), whole=False)
        cert, key = a.leaf("server", "DNS:localhost,IP:127.0.0.1")
        port = etcdproc.free_port()
        server = etcdproc.Server(binary, ["--log-level=error", "--cert-file=" + cert, "--key-file=" + key])
        server.flags.append("--listen-client-urls=%s,https://127.0.0.1:%d" % (server.endpoint, port))
        with server:
            server_cpu = lambda: cpu_seconds(server.process.pid)
            for name, version in (("TLS 1.3", "-tls1_3"), ("TLS 1.2", "-tls1_2")):
                if version == "-tls1_2":
                    what = [("full", "-new")] + ([("resumed", "-reuse")] if resumes(port, version) else [])
                else:
                    what = [("full", "-new")]           # s_time's -reuse takes no ticket of TLS 1.3
                for kind, how in what:
                    rate, us = handshakes(port, a.ca, version, how, seconds, server_cpu)
                    figures["%s handshake and a request, %s: server CPU (us)" % (name, kind)] = us
                    figures["%s handshake and a request, %s: per second" % (name, kind)] = rate
            for name, method, message in (("Range", "KV/Range", rpc.RangeRequest(key=b"bench")),
                                          ("Put, 256 B", "KV/Put", rpc.PutRequest(key=b"bench", value=value))):
                h2load(Target(port), method, message, requests // 10, 50, 20)
                before = server_cpu()
                took, failed = h2load(Target(port), method, message, requests, 50, 20)
                cpu = server_cpu() - before
                if failed:
                    raise SystemExit("%s over TLS: %d of %d requests failed" % (name, failed, requests))
                figures["%s over TLS: server CPU per request (us)" % name] = cpu / requests * 1e6
                figures["%s over TLS: requests per second" % name] = requests / took
    return figures
