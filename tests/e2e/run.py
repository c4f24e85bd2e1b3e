#!/usr/bin/env python3
"""Compares a server with Go etcd, section by section.

usage: run.py [--ours ETCD] [--go ETCD] [--print] [SECTION...]

--ours defaults to $CETCD_ETCD; --go and etcdctl come from $CETCD_ORACLE or build-oracle (make oracle). Exit
code 77 (skipped) when one of them or gRPC for Python is missing. --print writes the transcript of --ours."""
import argparse
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc


def skip(reason):
    print("SKIP: " + reason)
    sys.exit(etcdproc.SKIPPED)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    p.add_argument("--go", default=etcdproc.oracle("etcd"))
    p.add_argument("--print", action="store_true")
    p.add_argument("sections", nargs="*")
    args = p.parse_args()
    if not args.ours:
        skip("no server to test (CETCD_ETCD)")
    if not args.go or not etcdproc.oracle("etcdctl"):
        skip("no Go etcd to compare with: make oracle")
    try:
        import sections
        import transcript
    except ImportError as e:
        skip("gRPC for Python: %s" % e)
    wrong = 0
    for name in args.sections or sections.ALL:
        section = sections.ALL[name]
        if args.print:
            print("\n".join(transcript.record(args.ours, section)))
            continue
        difference, lines = transcript.compare(section, args.ours, args.go)
        print("%s %s (%d lines)" % ("DIFFERS" if difference else "same   ", name, lines))
        if difference:
            wrong += 1
            print("\n".join(difference[:400]))
    sys.exit(1 if wrong else 0)


main()
