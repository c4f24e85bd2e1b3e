#!/usr/bin/env python3
"""etcdctl does without OpenSSL until it needs it, and says so when there is none.

usage: late.py ETCDCTL. Exit code 77: OpenSSL is linked into this one (-Dstatic_etcdctl=false)."""
import os
import subprocess
import sys
import tempfile

ctl = os.path.abspath(sys.argv[1])
needed = subprocess.run(["readelf", "-d", ctl], capture_output=True, text=True, check=True).stdout
if "libssl" in needed:
    print("SKIP: OpenSSL is loaded with the program")
    sys.exit(77)
# A function that stands in no row of openssl_late.c would bring the library back.
assert "libcrypto" not in needed, needed


def run(*words, **env):
    p = subprocess.run([ctl, "--command-timeout=100ms", *words], capture_output=True, text=True, env=dict(os.environ, **env))
    return p.returncode, p.stdout, p.stderr


with tempfile.TemporaryDirectory() as folder:
    for name in ("libssl.so.3", "libssl.so.1.1"):
        open(os.path.join(folder, name), "w").close()
    code, out, err = run("get", "k", "--endpoints=https://127.0.0.1:1", LD_LIBRARY_PATH=folder)
    assert (code, out) == (1, ""), (code, out)
    assert err.startswith("Error: TLS and checksums need OpenSSL: %s/libssl.so." % folder), err
    # Without TLS it is not missed.
    code, out, err = run("get", "k", "--endpoints=127.0.0.1:1", LD_LIBRARY_PATH=folder)
    assert code == 1 and "context deadline exceeded" in err, err
print("ok")
