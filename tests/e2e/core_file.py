#!/usr/bin/env python3
"""A crash: the frames are on stderr, and neither the token nor the password is in the core file. With memory in it the token is there.

usage: core_file.py [--ours ETCD]. Where core files go elsewhere (core_pattern) only the frames and the filter are looked at."""
import argparse
import glob
import os
import resource
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc

try:
    import grpc  # noqa: F401
    from etcdapi import Api, auth, rpc  # noqa: F401
except ImportError as e:
    print("SKIP: gRPC for Python: %s" % e)
    sys.exit(etcdproc.SKIPPED)

PASSWORD = "swordfish-and-chips"


def crash(etcd, memory):
    """What the process wrote, its core file (None: there is no such file), and the token that was in use."""
    server = etcdproc.Server(etcd)
    with server:
        api = Api(server.target)
        api.call("Auth/UserAdd", rpc.AuthUserAddRequest(name="root", password=PASSWORD))
        api.call("Auth/UserGrantRole", rpc.AuthUserGrantRoleRequest(user="root", role="root"))
        api.call("Auth/AuthEnable", rpc.AuthEnableRequest())
        token = api.call("Auth/Authenticate", rpc.AuthenticateRequest(name="root", password=PASSWORD)).token
        api.with_token(token).call("KV/Put", rpc.PutRequest(key=b"k", value=b"v"))
        path = "/proc/%d/coredump_filter" % server.process.pid
        with open(path) as f:
            assert int(f.read(), 16) == 0x10
        if memory:
            with open(path, "w") as f:
                f.write("0x33")
        server.process.send_signal(signal.SIGABRT)
        assert server.process.wait(60) == -signal.SIGABRT
        with open(server.log_path) as f:
            log = f.read()
        cores = glob.glob(os.path.join(server.root, "core*"))
        core = None
        if cores:
            with open(cores[0], "rb") as f:
                core = f.read()
        server.process = None
    return log, core, token.encode()


if __name__ == "__main__":
    args = argparse.ArgumentParser()
    args.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    ours = os.path.abspath(args.parse_args().ours)
    with open(ours, "rb") as f:
        program = f.read()
    sanitized = b"__tsan_init" in program or b"__asan_init" in program
    if not sanitized:
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    log, core, token = crash(ours, memory=False)
    assert sanitized or "fatal signal SIGABRT" in log, log[-2000:]
    with open("/proc/sys/kernel/core_pattern") as f:
        here = f.read().strip() == "core" and not sanitized
    if here:
        assert core, "no core file"
        assert token not in core and PASSWORD.encode() not in core
        log, core, token = crash(ours, memory=True)
        assert token in core, "the search finds nothing"
    print("ok" if here else "ok, without core files")
