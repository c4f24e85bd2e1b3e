#!/usr/bin/env python3
"""The programs as they were linked: position independent, all relocations done and read-only, no executable stack, stack protector, checked
copies of libc.

usage: hardening.py PROGRAM..."""
import re
import subprocess
import sys


def readelf(*args):
    return subprocess.run(["readelf", "-W"] + list(args), check=True, stdout=subprocess.PIPE).stdout.decode()


def faults(path):
    head, segments, dynamic, symbols = readelf("-h", path), readelf("-l", path), readelf("-d", path), readelf("--dyn-syms", path)
    if not re.search(r"Type:\s+DYN", head) or "PIE" not in dynamic:
        yield "is not position independent"
    if "GNU_RELRO" not in segments:
        yield "has no segment to be made read-only"
    if not re.search(r"BIND_NOW|FLAGS_1.*\bNOW\b", dynamic):
        yield "binds late: its table of functions stays writable"
    stack = re.search(r"GNU_STACK.*", segments)
    if not stack or re.search(r"\bRWE\b", stack.group(0)):
        yield "has an executable stack"
    if "__stack_chk_fail" not in symbols:
        yield "has no stack protector"
    if not re.search(r"__\w+_chk\b", symbols.replace("__stack_chk", "")):
        yield "has no checked copies (_FORTIFY_SOURCE)"
    if re.search(r"\((RPATH|RUNPATH)\)", dynamic):
        yield "looks for libraries in a path of its own"


bad = ["%s %s" % (path, fault) for path in sys.argv[1:] for fault in faults(path)]
print("\n".join(bad) or "ok: %d programs" % len(sys.argv[1:]))
sys.exit(1 if bad else 0)
