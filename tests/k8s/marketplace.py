"""Google's click-to-deploy chart, unmodified, on our image with a shell. CLICK_TO_DEPLOY is a checkout of its repository (or k8s/etcd of it)."""
import os

import images
from lab import check, lab, wait_for

PASSWORD = "Seventeen17"


def chart():
    root = os.environ.get("CLICK_TO_DEPLOY", "")
    for place in ("k8s/etcd/chart/etcd", "chart/etcd"):
        if os.path.exists(os.path.join(root, place, "Chart.yaml")):
            return os.path.join(root, place)
    return None


def exec_etcdctl(one, pod, *arguments, user=True, **options):
    return one.kubectl("exec", pod, "--", "etcdctl", *(["--user", "root:" + PASSWORD] if user else []), *arguments, **options)


def click_to_deploy(settings, say):
    """Three pods of the unmodified chart form a cluster with TLS between peers, closed to the anonymous; restart; scaling to 5."""
    path = chart()
    if not path:
        say("skipped: CLICK_TO_DEPLOY does not name a checkout of GoogleCloudPlatform/click-to-deploy")
        return
    with lab(settings.ours, nodes=2) as one:
        repo, _, tag = images.build(settings, "shell", "shell").rpartition(":")

        manifest = one.helm("template", "r", path, "--set", "image.repo=%s,image.tag=%s" % (repo, tag),
                            "--set", "replicas=3,service.port=2379,persistence.storageClass=standard,persistence.size=1Gi",
                            "--set", "auth.rbac.rootPassword=%s,metrics.exporter.enabled=false" % PASSWORD)
        one.kubectl("apply", "-f", "-", stdin=manifest)
        one.kubectl("rollout", "status", "statefulset/r-etcd", "--timeout=180s", timeout=200)
        members = wait_for(60, "three started members", lambda: started(one, 3))
        check(all("https://" in m for m in members), "peers without TLS: %s" % members)
        say("3 pods are 3 members, peers by https")

        code, said = exec_etcdctl(one, "r-etcd-0", "user", "list", user=False, fails=True)
        check(code == 1, "user list without credentials: %d %s" % (code, said))
        for pod in ("r-etcd-0", "r-etcd-1"):
            check(exec_etcdctl(one, pod, "user", "list") == "root\n", "user list at " + pod)
        health = exec_etcdctl(one, "r-etcd-0", "endpoint", "health", "--cluster", fails=True)[1]
        check(health.count("is healthy") == 3, "endpoint health: " + health)
        check(exec_etcdctl(one, "r-etcd-0", "put", "message", "hello") == "OK\n", "put")
        for i in range(3):
            check("hello" in exec_etcdctl(one, "r-etcd-%d" % i, "get", "message"), "get at %d" % i)
        say("the chart's own suites: nodes number, store and get, authentication")

        # its preStop hook removes the member, its setup adds it again
        one.kubectl("delete", "pod", "r-etcd-2", timeout=120)
        wait_for(120, "r-etcd-2 came back", lambda: started(one, 3) and "hello" in exec_etcdctl(one, "r-etcd-2", "get", "message"))
        say("a deleted pod came back with another id through the chart's scripts")

        # pods 3 and 4 are not in the chart's static list: they fail once, then their script adds them
        one.kubectl("scale", "statefulset/r-etcd", "--replicas=5")
        wait_for(240, "five started members", lambda: started(one, 5), 2)
        check("hello" in exec_etcdctl(one, "r-etcd-4", "get", "message"), "get at 4")
        check(exec_etcdctl(one, "r-etcd-4", "user", "list", user=False, fails=True)[0] == 1, "member 4 is open")
        one.kubectl("delete", "pod", "r-etcd-0", timeout=120)
        wait_for(120, "r-etcd-0 came back", lambda: started(one, 5) and "hello" in exec_etcdctl(one, "r-etcd-0", "get", "message"))
        say("scaled to 5 with kubectl, 5 members started; r-etcd-0 restarted; all closed")


def listed(one):
    return exec_etcdctl(one, "r-etcd-0", "member", "list").splitlines()


def started(one, count):
    lines = listed(one)
    return lines if len(lines) == count and all(", started, " in line for line in lines) else None


SCENARIOS = [click_to_deploy]
