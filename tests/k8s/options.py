"""Our chart's values on a real API server: each set of values of tests/chart is accepted by it, and backups go to a store that speaks S3.

K8S_CRDS: a folder with the kinds of cert-manager and of Prometheus' operator as their releases have them; CETCD_S3_SERVERS: a folder with
versitygw (`make s3-servers`). What is not there is left out, and said."""
import glob
import os
import subprocess
import sys
import tempfile
import time

import images
from lab import LAB, Failed, check, lab, run, wait_for
from members import CHART, Release, explain

sys.path.insert(0, os.path.join(images.TOP, "tests", "chart"))
import chart as sets

CRDS = os.environ.get("K8S_CRDS", "")


def kinds(one, say):
    """The kinds of others that are at hand; those that the API server has then."""
    files = sorted(glob.glob(os.path.join(CRDS, "*.yaml"))) if CRDS else []
    for f in files:
        one.kubectl("apply", "--server-side", "-f", f)
    have = one.kubectl("get", "crd", "-o", "name")
    for name in ("servicemonitors.monitoring.coreos.com", "certificates.cert-manager.io"):
        if name not in have:
            say("left out: %s (K8S_CRDS)" % name)
        else:
            wait_for(30, "the kind " + name, lambda: one.kubectl("get", name))
    return have


def accepted(settings, say):
    """Every set of values of tests/chart, each object of it, is valid for the API server, with no field that it does not know."""
    with lab(settings.ours, nodes=0) as one:
        have = kinds(one, say)
        one.kubectl("create", "namespace", "team")
        count = objects = 0
        for values in [()] + [v for axis in sets.AXES for v in axis] + list(sets.ONE_BY_ONE):
            text = one.helm("template", sets.R, CHART, "--namespace", "team", *sets.sets(values))
            kept = [d for d in text.split("\n---\n") if not ("kind: Certificate\n" in d and "certificates.cert-manager.io" not in have)
                    and not ("kind: ServiceMonitor\n" in d and "servicemonitors.monitoring.coreos.com" not in have)]
            code, said = one.kubectl("apply", "--dry-run=server", "--validate=strict", "-n", "team", "-f", "-", stdin="\n---\n".join(kept), fails=True)
            check(code == 0 and "arning" not in said, "%s: %s" % (values, said))
            count, objects = count + 1, objects + len(said.splitlines())
        say("%d sets of values, %d objects" % (count, objects))


# --- backups in a store in the cluster ---

KEY, SECRET, BUCKET, STORE = "backupkey", "a/secret+key9876", "backups", "store.default.svc.cluster.local"
SERVER = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: store}
spec:
  selector: {matchLabels: {app: store}}
  template:
    metadata: {labels: {app: store}}
    spec:
      containers:
      - name: store
        image: %s
        command: [/bin/sh, -c, "mkdir -p /data/store/%s /data/sidecar && exec /usr/local/bin/versitygw --access '%s' --secret '%s' --port :9000 --quiet
          --cert /tls/tls.crt --key /tls/tls.key posix --sidecar /data/sidecar /data/store"]
        volumeMounts: [{name: data, mountPath: /data}, {name: tls, mountPath: /tls}]
      volumes:
      - {name: data, emptyDir: {}}
      - {name: tls, secret: {secretName: store-tls}}
---
apiVersion: v1
kind: Service
metadata: {name: store}
spec: {selector: {app: store}, ports: [{port: 9000}]}
"""


def server(one):
    """versitygw as a pod, with a certificate of its own."""
    folder = os.environ.get("CETCD_S3_SERVERS", os.path.join(images.TOP, "build-oracle"))
    program = os.path.join(folder, "versitygw")
    if not os.access(program, os.X_OK):
        return False
    with tempfile.TemporaryDirectory() as d:
        crt, key = d + "/tls.crt", d + "/tls.key"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=store",
            "-addext", "subjectAltName=DNS:" + STORE, "-keyout", key, "-out", crt)
        one.kubectl("create", "secret", "tls", "store-tls", "--cert", crt, "--key", key)
        one.kubectl("create", "secret", "generic", "backup-keys", "--from-literal=access-key-id=" + KEY, "--from-literal=secret-access-key=" + SECRET,
                    "--from-file=ca.crt=" + crt)
        run(os.path.join(LAB, "make-rootfs"), d + "/root", "--busybox", program + "=/usr/local/bin/versitygw")
        with open(d + "/out", "w") as out:          # it starts nothing that stays, but speaks to ctr
            subprocess.run([os.path.join(LAB, "import-image"), "lab.local/store:1", d + "/root"], check=True, stdout=out, stderr=out, timeout=120)
    one.kubectl("apply", "-f", "-", stdin=SERVER % ("lab.local/store:1", BUCKET, KEY, SECRET))
    one.kubectl("rollout", "status", "deployment/store", "--timeout=120s", timeout=130)
    return True


def s3(side):
    s = side + ".s3."
    return (s + "endpoint=https://%s:9000" % STORE, s + "bucket=" + BUCKET, s + "prefix=etcd/r", s + "existingSecret=backup-keys", s + "caKey=ca.crt")


def backups(settings, say):
    """Snapshots by the clock into an S3-compatible store in the cluster; all is deleted; a new release with three members begins with the newest."""
    with lab(settings.ours, nodes=3) as one:
        if not server(one):
            say("left out: no versitygw (make s3-servers, CETCD_S3_SERVERS)")
            return
        release = Release(one, images.build(settings, "options"))
        scheduled = ("backup.enabled=true", "backup.destination=s3", "backup.schedule=* * * * *", "backup.keep=2") + s3("backup")
        kept = lambda: sorted(one.kubectl("exec", "deployment/store", "--", "ls", "/data/store/%s/etcd/r" % BUCKET).split())
        try:
            release.install(3, *scheduled)
            release.etcdctl(0, "put", "precious", "1")
            first = wait_for(100, "a snapshot by the clock", kept, 2)
            wait_for(200, "older ones go", lambda: len(kept()) == 2 and first[0] not in kept(), 2)
            say("by the clock: %s; the first one, %s, was removed" % (" ".join(kept()), first[0]))
            failed = [j["metadata"]["name"] for j in one.get("jobs")["items"] if j["status"].get("failed")]
            check(not failed, "jobs failed: %s" % failed)
            one.helm("uninstall", "r")
            one.kubectl("delete", "pvc", "--all", timeout=200)
            wait_for(60, "nothing is left", lambda: not release.pods() and not one.get("pvc")["items"])
            began = time.monotonic()
            release.install(3, "restore.enabled=true", "restore.source=s3", *s3("restore"))
            for i in range(3):
                check(release.etcdctl(i, "get", "precious").split() == ["precious", "1"], "the key at %d" % i)
            say("all deleted; a new release of 3 began with the newest snapshot, %.0f s" % (time.monotonic() - began))
            release.etcdctl(0, "put", "later", "2")
            ids = release.members()
            one.kubectl("delete", "pod", "r-etcd-0")
            time.sleep(3)
            release.ready(3)
            check(release.members() == ids and "2" in release.etcdctl(0, "get", "later"), "the snapshot was restored again over newer data")
            say("a restart with the same values restores nothing")
        except Failed:
            explain(release, say)
            say(one.kubectl("get", "jobs,pods", fails=True)[1])
            say(one.kubectl("logs", "-l", "app.kubernetes.io/name=r-backup", "--tail=20", fails=True)[1])
            raise


SCENARIOS = [accepted, backups]
