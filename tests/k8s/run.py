#!/usr/bin/python3
"""Scenarios on a real Kubernetes.

usage: tests/k8s/run.py [--ours DIR] [--go DIR] [--list] [--report FILE] [GROUP | GROUP.SCENARIO]...

Needs root, the programs of this repository in DIR (bin), Go etcd's (build-oracle) and a lab (K8S_LAB, see docs/k8s-test.md).
A scenario brings its own cluster up and down; the first line of its docstring is what it shows."""
import argparse
import importlib
import os
import signal
import subprocess
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lab import LAB, Failed

GROUPS = ["store", "marketplace", "guide", "members", "options"]


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("--ours", default="bin")
    p.add_argument("--go", default="build-oracle")
    p.add_argument("--entrypoint", help="the image's entrypoint program (build/deploy/image/etcd-entrypoint)")
    p.add_argument("--list", action="store_true")
    p.add_argument("--report", help="write what was seen into this file, too")
    p.add_argument("wanted", nargs="*")
    settings = p.parse_args()
    settings.ours, settings.go = os.path.abspath(settings.ours), os.path.abspath(settings.go)
    scenarios = [(g, s) for g in GROUPS if not settings.wanted or g in [w.split(".")[0] for w in settings.wanted]
                 for s in importlib.import_module(g).SCENARIOS
                 if not settings.wanted or g in settings.wanted or "%s.%s" % (g, s.__name__) in settings.wanted]
    if settings.list or not scenarios:
        for group, s in scenarios:
            print("%s.%s: %s" % (group, s.__name__, s.__doc__.splitlines()[0]))
        return 0 if scenarios else 1
    if os.getuid() or not os.path.exists(os.path.join(LAB, "up")):
        print("skipped: needs root and a lab in K8S_LAB (%s)" % LAB)
        return 77
    # whoever ends us: the cluster goes down first
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    lines, failed = [], 0

    def say(text):
        lines.append("  " + text)
        print(lines[-1], flush=True)

    for group, scenario in scenarios:
        print("%s.%s" % (group, scenario.__name__), flush=True)
        lines.append("%s.%s" % (group, scenario.__name__))
        began = time.monotonic()
        try:
            scenario(settings, say)
            say("ok, %d s" % (time.monotonic() - began))
        except (Failed, subprocess.SubprocessError, AssertionError) as e:
            failed += 1
            say("FAILED after %d s: %s" % (time.monotonic() - began, e))
        except Exception:
            failed += 1
            say("FAILED: " + traceback.format_exc())
    if settings.report:
        with open(settings.report, "w") as f:
            f.write("\n".join(lines) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
