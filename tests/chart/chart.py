#!/usr/bin/env python3
"""The chart of deploy/chart/etcd as Helm renders it, without a cluster.

usage: chart.py facts|matrix|pairs|refused|types|certificates|documents

facts: names, labels, ports and settings that users of the click-to-deploy application rely on; written down here from that
application's guide and chart, never from what ours prints. Helm comes from CETCD_HELM, PATH, build-oracle/ or the Kubernetes lab's
cache; exit code 77 where there is none."""
import base64
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

try:
    import yaml
except ImportError:
    print("skipped: no PyYAML (make deps-test)")
    sys.exit(77)

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
DEPLOY = os.path.join(TOP, "deploy")
CHART = os.path.join(DEPLOY, "chart", "etcd")
R, N = "etcd-1", "team"
LABELS = {"app.kubernetes.io/name": R, "release": R}


def find_helm():
    for path in (os.environ.get("CETCD_HELM"), shutil.which("helm"), os.path.join(TOP, "build-oracle", "helm"),
                 os.path.expanduser("~/.cache/k8s-lab/bin/helm")):
        if path and os.access(path, os.X_OK):
            return path
    print("skipped: no helm (make helm builds one with Go)")
    sys.exit(77)


def helm(*args):
    return subprocess.run([HELM, *args], cwd=DEPLOY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)


def sets(values):
    return [word for pair in values for word in ("--set", pair)]


def render(*values, more=()):
    """{(kind, name): object}"""
    r = helm("template", R, "chart/etcd", "--namespace", N, *sets(values), *more)
    assert r.returncode == 0, "%s: %s" % (" ".join(values), r.stderr)
    found = {}
    for o in yaml.load_all(r.stdout, LOADER):
        if o is None:
            continue
        key = (o["kind"], o["metadata"]["name"])
        assert key not in found, "twice: %s" % (key,)
        found[key] = o
    return found


def equal(what, got, want):
    assert got == want, "%s: %r, should be %r" % (what, got, want)


def pod_of(objects):
    return objects["StatefulSet", R + "-etcd"]["spec"]["template"]


def container_of(objects, name="etcd"):
    return next(c for c in pod_of(objects)["spec"]["containers"] if c["name"] == name)


def env_of(container):
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container["env"]}


# --- facts

def facts_set(o):
    s = o["StatefulSet", R + "-etcd"]
    equal("apiVersion", s["apiVersion"], "apps/v1")
    spec = s["spec"]
    equal("serviceName", spec["serviceName"], R + "-etcd-headless")
    equal("podManagementPolicy", spec["podManagementPolicy"], "Parallel")
    equal("updateStrategy", spec["updateStrategy"]["type"], "RollingUpdate")
    equal("replicas", spec["replicas"], 3)
    equal("selector", spec["selector"]["matchLabels"], LABELS)
    claim, = spec["volumeClaimTemplates"]
    equal("claim", claim["metadata"], {"name": "data", "labels": LABELS})
    equal("access", claim["spec"]["accessModes"], ["ReadWriteOnce"])
    equal("size", claim["spec"]["resources"]["requests"]["storage"], "1Gi")
    assert "storageClassName" not in claim["spec"], "the cluster's default class needs the key left out"


def facts_container(o):
    c = container_of(o)
    ports = {p["name"]: p["containerPort"] for p in c["ports"]}
    equal("client", ports["client"], 2379)
    equal("peer", ports["peer"], 2380)
    assert {"name": "data", "mountPath": "/var/run/etcd"} in c["volumeMounts"], c["volumeMounts"]
    env = env_of(c)
    host = "$(POD_NAME).etcd-1-etcd-headless.team.svc.cluster.local"
    all_hosts = ",".join("etcd-1-etcd-%d=https://etcd-1-etcd-%d.etcd-1-etcd-headless.team.svc.cluster.local:2380" % (i, i) for i in range(3))
    for name, value in {
            "ETCD_NAME": "$(POD_NAME)",
            "ETCD_DATA_DIR": "/var/run/etcd/data",
            "ETCD_LISTEN_CLIENT_URLS": "http://0.0.0.0:2379",
            "ETCD_ADVERTISE_CLIENT_URLS": "http://" + host + ":2379",
            "ETCD_LISTEN_PEER_URLS": "https://0.0.0.0:2380",
            "ETCD_INITIAL_ADVERTISE_PEER_URLS": "https://" + host + ":2380",
            "ETCD_INITIAL_CLUSTER_TOKEN": "etcd-cluster-k8s",
            "ETCD_INITIAL_CLUSTER_STATE": "new",
            "ETCD_INITIAL_CLUSTER": all_hosts,
            "ETCD_PEER_AUTO_TLS": "true",
            "ETCDCTL_API": "3",
            "ETCD_ROOT_PASSWORD": {"secretKeyRef": {"name": "etcd-1-etcd", "key": "etcd-root-password"}}}.items():
        equal(name, env.get(name), value)
    names = [e["name"] for e in c["env"]]
    equal("no variable twice", len(names), len(set(names)))
    # A variable is expanded from those before it only.
    assert names.index("POD_NAME") < names.index("ETCD_NAME")


def facts_services(o):
    client = o["Service", R + "-etcd"]["spec"]
    equal("type", client["type"], "ClusterIP")
    equal("ports", {p["name"]: p["port"] for p in client["ports"]}, {"client": 2379, "peer": 2380})
    headless = o["Service", R + "-etcd-headless"]["spec"]
    equal("clusterIP", headless["clusterIP"], "None")
    equal("unready too", headless["publishNotReadyAddresses"], True)
    for s in (client, headless):
        assert s["selector"].items() <= pod_of(o)["metadata"]["labels"].items()


def facts_secret(o):
    s = o["Secret", R + "-etcd"]
    equal("type", s["type"], "Opaque")
    password = base64.b64decode(s["data"]["etcd-root-password"]).decode()
    assert re.fullmatch("[A-Za-z0-9]{10,}", password), password
    again = base64.b64decode(render()["Secret", R + "-etcd"]["data"]["etcd-root-password"]).decode()
    assert again != password, "a password that is always the same"
    for given, want in (("s3cret", "s3cret"), ("1234567890", "1234567890"), ("0123456789", "0123456789")):
        o = render("auth.rbac.rootPassword=" + given)
        equal("given", base64.b64decode(o["Secret", R + "-etcd"]["data"]["etcd-root-password"]).decode(), want)


def facts_application(o):
    a = o["Application", R]
    equal("apiVersion", a["apiVersion"], "app.k8s.io/v1beta1")
    d = a["spec"]["descriptor"]
    equal("type", d["type"], "etcd")
    equal("version", render("image.tag=3.7.1-5")["Application", R]["spec"]["descriptor"]["version"], "3.7.1-5")
    equal("selector", a["spec"]["selector"]["matchLabels"], {"app.kubernetes.io/name": R})
    kinds = {k["kind"] for k in a["spec"]["componentKinds"]}
    assert {"PersistentVolumeClaim", "Service", "StatefulSet", "ConfigMap", "Secret"} <= kinds
    info = {i["name"]: i for i in a["spec"]["info"]}
    equal("user", info["etcd root username"]["value"], "root")
    equal("password", info["etcd root password"]["valueFrom"]["secretKeyRef"], {"name": R + "-etcd", "key": "etcd-root-password"})
    equal("service", info["etcd"]["valueFrom"]["serviceRef"]["name"], R + "-etcd")
    crd, = yaml.safe_load_all(open(os.path.join(CHART, "crds", "application.yaml")))
    equal("kind", crd["spec"]["names"]["kind"], "Application")
    equal("group", crd["spec"]["group"], "app.k8s.io")


def facts_labels(o):
    for key, x in o.items():
        assert LABELS.items() <= x["metadata"]["labels"].items(), key
    assert LABELS.items() <= pod_of(o)["metadata"]["labels"].items()


def facts_guide(_):
    """The guide's command, with its variables as it sets them."""
    o = render("image.repo=marketplace.gcr.io/google/etcd3", "image.tag=3.3", "persistence.storageClass=ssd-storageclass",
               "persistence.size=10Gi", "metrics.image=marketplace.gcr.io/google/etcd/prometheus-to-sd:3.3",
               "metrics.exporter.enabled=true", "auth.rbac.rootPassword=aB3dE6gH1j", "replicas=5")
    equal("image", container_of(o)["image"], "marketplace.gcr.io/google/etcd3:3.3")
    s = o["StatefulSet", R + "-etcd"]["spec"]
    equal("replicas", s["replicas"], 5)
    equal("class", s["volumeClaimTemplates"][0]["spec"]["storageClassName"], "ssd-storageclass")
    sidecar = container_of(o, "prometheus-to-sd")
    equal("sidecar", sidecar["image"], "marketplace.gcr.io/google/etcd/prometheus-to-sd:3.3")
    equal("its command", sidecar["command"], ["/monitor", "--stackdriver-prefix=custom.googleapis.com",
          "--source=etcd:http://localhost:2379/metrics", "--pod-id=$(POD_NAME)", "--namespace-id=$(POD_NAMESPACE)",
          "--monitored-resource-types=k8s"])
    equal("from the downward API", {e["name"]: e["valueFrom"]["fieldRef"]["fieldPath"] for e in sidecar["env"]},
          {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"})
    earlier = render("metrics.enabled=true", "metrics.image=a/b:1")
    equal("the earlier name of the switch", container_of(earlier, "prometheus-to-sd")["image"], "a/b:1")
    assert len(pod_of(render("metrics.image=a/b:1"))["spec"]["containers"]) == 1
    equal("digest", container_of(render("image.repo=a/b", "image.tag=sha256:0123"))["image"], "a/b@sha256:0123")


def facts_rights(o):
    """Nothing runs as root, writes outside its volumes or holds a right that it does not use."""
    pod = pod_of(o)["spec"]
    equal("grace", pod["terminationGracePeriodSeconds"], 180)
    equal("not root", pod["securityContext"]["runAsNonRoot"], True)
    assert pod["securityContext"]["fsGroup"] > 0
    equal("seccomp", pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault")
    c = container_of(o)["securityContext"]
    equal("container", (c["readOnlyRootFilesystem"], c["allowPrivilegeEscalation"], c["capabilities"]["drop"]), (True, False, ["ALL"]))
    rules = {tuple(r["resources"]): (r["verbs"], r.get("resourceNames")) for r in o["Role", R + "-etcd"]["rules"]}
    equal("own set only", rules["statefulsets",], (["get"], [R + "-etcd"]))
    equal("all verbs", sorted({v for verbs, _ in rules.values() for v in verbs}), ["create", "get", "list", "patch"])
    assert "secrets" not in json.dumps(o["Role", R + "-etcd"])
    probes = [container_of(o)[k]["httpGet"]["path"] for k in ("startupProbe", "livenessProbe", "readinessProbe")]
    equal("probes", probes, ["/livez", "/livez", "/readyz"])
    equal("budget", o["PodDisruptionBudget", R + "-etcd"]["spec"]["maxUnavailable"], 1)
    peer = next(r for r in o["NetworkPolicy", R + "-etcd"]["spec"]["ingress"] if r["ports"] == [{"port": "peer"}])
    assert len(peer["from"]) == 1 and peer["from"][0]["podSelector"]["matchLabels"].items() <= pod_of(o)["metadata"]["labels"].items()


def facts_quota(_):
    for size, want in (("1Gi", 2**29), ("1.5Gi", 3 * 2**28), ("100M", 50 * 10**6), ("20Gi", 8 * 2**30), ("2T", 8 * 2**30)):
        equal(size, env_of(container_of(render("persistence.size=" + size)))["ETCD_QUOTA_BACKEND_BYTES"], str(want))
    equal("given", env_of(container_of(render("quotaBackendBytes=4294967296")))["ETCD_QUOTA_BACKEND_BYTES"], str(2**32))


def facts():
    o = render()
    for check in (facts_set, facts_container, facts_services, facts_secret, facts_application, facts_labels, facts_guide, facts_rights, facts_quota):
        check(o)
        print("ok: " + check.__name__)


# --- matrix

AXES = (
    ((), ("replicas=1",), ("replicas=5", "service.port=12379", "service.peerPort=12380")),
    ((), ("tls.client.mode=chart", "tls.client.clientCertAuth=true"), ("tls.client.mode=secret", "tls.client.existingSecret=mine"),
     ("tls.client.mode=cert-manager", "tls.certManager.issuerRef.name=issuer", "tls.client.extraNames={etcd.example.com}",
      "tls.client.extraAddresses={192.0.2.7}")),
    ((), ("tls.peer.mode=chart",), ("tls.peer.mode=secret", "tls.peer.existingSecret=peers")),
    ((), ("backup.enabled=true",), ("backup.enabled=true", "backup.destination=s3", "backup.s3.endpoint=https://s3.example.com:9000",
     "backup.s3.bucket=b", "backup.s3.existingSecret=keys", "backup.s3.caKey=ca.crt", "backup.s3.prefix=a/b")),
    ((), ("restore.enabled=true", "restore.pvc.existingClaim=old", "restore.pvc.shared=true"),
     ("restore.enabled=true", "restore.source=s3", "restore.s3.endpoint=http://minio:9000", "restore.s3.bucket=b", "restore.s3.existingSecret=keys",
      "auth.rbac.existingSecret=pw", "auth.rbac.existingSecretKey=etcd")),
)
ONE_BY_ONE = (
    ("auth.rbac.enabled=false",), ("networkPolicy.enabled=false", "podDisruptionBudget.enabled=false", "topologySpread.enabled=false"),
    ("networkPolicy.clientFrom[0].podSelector.matchLabels.app=x", "networkPolicy.peerFrom[0].ipBlock.cidr=192.0.2.0/24"),
    ("metrics.serviceMonitor.enabled=true", "metrics.serviceMonitor.labels.release=prom", "metrics.dashboards.enabled=true"),
    ("serviceAccount.name=mine",), ("application.enabled=false",), ("service.type=LoadBalancer",),
    ("config.heartbeat-interval=200", "config.log-level=warn", "config.max-request-bytes=10485760", "extraArgs={--max-txn-ops=256,--pre-vote=true}",
     "extraEnv[0].name=X", "extraEnv[0].value=y"),
    ("nodeSelector.disk=ssd", "priorityClassName=high", "image.pullSecrets={a,b}", "podAnnotations.x=y", "resources.limits.memory=1Gi",
     "tolerations[0].operator=Exists", "metrics.annotations=false", "topologySpread.whenUnsatisfiable=DoNotSchedule"),
    ("quotaBackendBytes=1000000000", "service.dnsBase=svc.example.org", "terminationGracePeriodSeconds=60"),
    ("updateStrategy.partition=2", "podDisruptionBudget.unhealthyPodEvictionPolicy=AlwaysAllow"), ("updateStrategy.type=OnDelete",),
    ("configFile=heartbeat-interval: 200", "config.log-level=warn"),
    ("config.auth-token=jwt", "extraVolumes[0].name=jwt", "extraVolumes[0].secret.secretName=keys", "extraVolumes[0].secret.defaultMode=288",
     "extraVolumeMounts[0].name=jwt", "extraVolumeMounts[0].mountPath=/etc/etcd/jwt", "extraVolumeMounts[0].readOnly=true"),
    ("backup.enabled=true", "backup.nodeSelector.disk=big", "backup.tolerations[0].operator=Exists", "nodeSelector.disk=ssd", "tolerations[0].key=etcd",
     "backup.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key=a",
     "backup.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator=Exists"),
    ("metrics.exporter.enabled=true", "metrics.image=a/b:1", "resources.limits.cpu=2", "resources.limits.memory=1Gi"),
)


def pods_in(o):
    for (kind, name), x in o.items():
        if kind == "StatefulSet":
            yield name, x["spec"]["template"], {c["metadata"]["name"] for c in x["spec"]["volumeClaimTemplates"]}
        elif kind == "CronJob":
            yield name, x["spec"]["jobTemplate"]["spec"]["template"], set()


def references(o, values):
    """What a pod names has to exist: in the release, or in what the user said to have."""
    given = {v.split("=", 1)[1] for v in values if "=" in v}
    for name, pod, claims in pods_in(o):
        spec = pod["spec"]
        volumes = {v["name"]: v for v in spec.get("volumes") or []}
        for c in spec["containers"] + spec.get("initContainers", []):
            for m in c.get("volumeMounts", []):
                assert m["name"] in volumes or m["name"] in claims, "%s: %s mounts %s" % (name, c["name"], m["name"])
            assert c["securityContext"]["readOnlyRootFilesystem"] is True
            if "workingDir" in c:
                assert c["workingDir"] in [m["mountPath"] for m in c["volumeMounts"]], "nobody may write there: " + c["workingDir"]
            names = [e["name"] for e in c.get("env", [])]
            equal("no variable twice in " + c["name"], sorted(set(names)), sorted(names))
            for e in c.get("env", []):
                ref = (e.get("valueFrom") or {}).get("secretKeyRef")
                if ref:
                    have = o.get(("Secret", ref["name"]))
                    assert ref["name"] in given or ref["key"] in have["data"], ref
                assert "valueFrom" in e or isinstance(e.get("value"), str), "%s is no text: %r" % (e["name"], e.get("value"))
            for ref in c.get("envFrom", []):
                assert ("ConfigMap", ref["configMapRef"]["name"]) in o
        for v in volumes.values():
            if "secret" in v:
                s = v["secret"]["secretName"]
                assert s in given or ("Secret", s) in o or ("Certificate", s) in o, s
                equal("mode", v["secret"]["defaultMode"], 0o440)
            if "persistentVolumeClaim" in v:
                s = v["persistentVolumeClaim"]["claimName"]
                assert s in given or ("PersistentVolumeClaim", s) in o, s
        account = spec.get("serviceAccountName")
        assert account is None or account in given or ("ServiceAccount", account) in o


def selections(o):
    """Selectors take the members, and the members only."""
    members = pod_of(o)["metadata"]["labels"]
    jobs = [pod["metadata"]["labels"] for name, pod, _ in pods_in(o) if name != R + "-etcd"]
    ports = {p["name"] for p in container_of(o)["ports"]}
    for (kind, name), x in o.items():
        spec = x.get("spec", {})
        wanted = {"Service": lambda: spec["selector"], "PodDisruptionBudget": lambda: spec["selector"]["matchLabels"],
                  "NetworkPolicy": lambda: spec["podSelector"]["matchLabels"], "StatefulSet": lambda: spec["selector"]["matchLabels"]}.get(kind)
        if wanted:
            assert wanted().items() <= members.items(), (kind, name)
            assert not any(wanted().items() <= j.items() for j in jobs), (kind, name)
        if kind == "Service":
            assert {p["targetPort"] for p in spec["ports"]} <= ports
    if ("ServiceMonitor", R + "-etcd") in o:
        s = o["ServiceMonitor", R + "-etcd"]["spec"]
        chosen = [n for (k, n), x in o.items() if k == "Service" and s["selector"]["matchLabels"].items() <= x["metadata"]["labels"].items()]
        equal("scraped once", chosen, [R + "-etcd-headless"])
        assert s["endpoints"][0]["targetPort"] in ports


def one(values):
    o = render(*values)
    references(o, values)
    selections(o)
    for key, x in o.items():
        keep = x["metadata"]["labels"]["app.kubernetes.io/name"]
        assert keep == R or key == ("PersistentVolumeClaim", R + "-etcd-backup"), key
    scheme = "https" if any(v.startswith("tls.client.mode=") for v in values) else "http"
    env = env_of(container_of(o))
    assert env["ETCD_ADVERTISE_CLIENT_URLS"].startswith(scheme + "://") and env["ETCD_LISTEN_CLIENT_URLS"].startswith(scheme + "://")
    equal("agent's scheme", env["CLIENT_SCHEME"], scheme)
    equal("peers are always encrypted", env["ETCD_LISTEN_PEER_URLS"][:8], "https://")
    equal("peers prove themselves", "ETCD_PEER_CLIENT_CERT_AUTH" in env, "ETCD_PEER_AUTO_TLS" not in env)
    return o


def pairs():
    """Every two settings of different axes together at least once."""
    runs = set()
    for a, b in itertools.combinations(range(len(AXES)), 2):
        for i, j in itertools.product(range(len(AXES[a])), range(len(AXES[b]))):
            row = [(i + j + k) % len(AXES[k]) for k in range(len(AXES))]
            row[a], row[b] = i, j
            runs.add(tuple(row))
    for row in sorted(runs):
        one([v for k, i in enumerate(row) for v in AXES[k][i]])
    print("ok: %d sets of values" % len(runs))


def matrix():
    for axis in AXES:
        for values in axis:
            one(values)
    for values in ONE_BY_ONE:
        one(values)
    print("ok: %d sets of values" % (sum(map(len, AXES)) + len(ONE_BY_ONE)))
    for values in ((), AXES[1][1] + AXES[3][1], *ONE_BY_ONE):
        r = helm("lint", "chart/etcd", "--strict", *sets(values))
        assert r.returncode == 0, "lint %s: %s%s" % (values, r.stdout, r.stderr)
    print("ok: lint")
    c = container_of(render(*ONE_BY_ONE[7]))
    equal("args", c["args"], ["run", "--", "--max-txn-ops=256", "--pre-vote=true"])
    equal("config", render(*ONE_BY_ONE[7])["ConfigMap", R + "-etcd-config"]["data"],
          {"ETCD_HEARTBEAT_INTERVAL": "200", "ETCD_LOG_LEVEL": "warn", "ETCD_MAX_REQUEST_BYTES": "10485760"})
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        f.write("config: {max-request-bytes: 10485760, pre-vote: false}\nquotaBackendBytes: 4294967296\n")
        f.flush()
        o = render(more=("--values", f.name))
        equal("numbers of a file", o["ConfigMap", R + "-etcd-config"]["data"], {"ETCD_MAX_REQUEST_BYTES": "10485760", "ETCD_PRE_VOTE": "false"})
        equal("quota of a file", env_of(container_of(o))["ETCD_QUOTA_BACKEND_BYTES"], "4294967296")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        f.write("heartbeat-interval: 200\nmax-request-bytes: 10485760\nlog-outputs: [stderr, /tmp/log]\npre-vote: true\nauto-compaction-retention: \"1h\"\n")
        f.flush()
        o = render("config.pre-vote=false", more=("--set-file", "configFile=" + f.name))
        equal("a configuration file", o["ConfigMap", R + "-etcd-config"]["data"],
              {"ETCD_HEARTBEAT_INTERVAL": "200", "ETCD_MAX_REQUEST_BYTES": "10485760", "ETCD_LOG_OUTPUTS": "stderr,/tmp/log", "ETCD_PRE_VOTE": "false",
               "ETCD_AUTO_COMPACTION_RETENTION": "1h"})
        other = render("config.pre-vote=true", more=("--set-file", "configFile=" + f.name))
        mark = lambda x: pod_of(x)["metadata"]["annotations"]["checksum/config"]
        assert mark(o) != mark(other), "changed settings have to reach the members"
    rest()


def rest():
    """Values that say where and how things run land where they belong."""
    update = lambda *values: render(*values)["StatefulSet", R + "-etcd"]["spec"]["updateStrategy"]
    equal("update", update(), {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
    equal("partition", update("updateStrategy.partition=2"), {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    equal("on delete", update("updateStrategy.type=OnDelete"), {"type": "OnDelete"})
    policy = lambda *values: render(*values)["PodDisruptionBudget", R + "-etcd"]["spec"].get("unhealthyPodEvictionPolicy")
    equal("unhealthy pods", (policy(), policy("podDisruptionBudget.unhealthyPodEvictionPolicy=AlwaysAllow")), (None, "AlwaysAllow"))
    job = lambda *values: render("backup.enabled=true", *values)["CronJob", R + "-etcd-backup"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    members = ("nodeSelector.disk=ssd", "tolerations[0].key=etcd", "affinity.podAntiAffinity.x=y")
    equal("backups where members run", (job(*members)["nodeSelector"], job(*members)["tolerations"], job(*members).get("affinity")),
          ({"disk": "ssd"}, [{"key": "etcd"}], None))
    own = job(*members, "backup.nodeSelector.disk=big", "backup.tolerations[0].key=b", "backup.affinity.nodeAffinity.x=y")
    equal("backups elsewhere", (own["nodeSelector"], own["tolerations"], own["affinity"]), ({"disk": "big"}, [{"key": "b"}], {"nodeAffinity": {"x": "y"}}))
    # a quota of the namespace refuses pods of which one container asks for nothing
    o = render("backup.enabled=true", "restore.enabled=true", "restore.pvc.existingClaim=old", "restore.pvc.shared=true", "metrics.exporter.enabled=true",
               "metrics.image=a/b:1")
    asked = {c["name"]: sorted(c["resources"]["requests"]) for _, pod, _ in pods_in(o) for c in pod["spec"]["containers"] + pod["spec"].get("initContainers", [])}
    equal("every container asks", asked, dict.fromkeys(("etcd", "prometheus-to-sd", "restore", "backup"), ["cpu", "memory"]))
    jwt = render(*next(v for v in ONE_BY_ONE if v[0] == "config.auth-token=jwt"))
    assert {"name": "jwt", "mountPath": "/etc/etcd/jwt", "readOnly": True} in container_of(jwt)["volumeMounts"]
    print("ok: where and how")


# --- refused

REFUSED = (
    (("replicas=4",), "replicas=4 is even"), (("replicas=2",), "replicas=2 is even"), (("replicas=0",), "replicas=0"),
    (("replicas=9",), "1, 3, 5 or 7"), (("replicas=three",), "/replicas"),
    (("persistence.size=1",), "/persistence/size"), (("persistence.size=0Gi",), "/persistence/size"), (("persistence.size=10Ki",), "/persistence/size"),
    (("persistence.size=",), "/persistence/size"), (("persistence.size=1gi",), "/persistence/size"), (("persistence.size=-1Gi",), "/persistence/size"),
    (("image.repo=",), "image.repo is empty"), (("image=",), "/image"),
    (("imagee.repo=a",), "imagee"), (("image.repository=a",), "repository"), (("auth.rootPassword=a",), "rootPassword"),
    (("auth.rbac.rootPasswort=a",), "rootPasswort"), (("persistence.storageclass=a",), "storageclass"), (("backup.s3.buckets=a",), "buckets"),
    (("metrics.exporter.enabled=yes",), "/metrics/exporter/enabled"), (("metrics.exporter.enabled=true",), "metrics.image"),
    (("service.type=External",), "/service/type"), (("service.port=0",), "/service/port"), (("service.port=70000",), "/service/port"),
    (("service.port=2380",), "must differ"),
    (("tls.client.mode=on",), "/tls/client/mode"), (("tls.peer.mode=none",), "/tls/peer/mode"), (("tls.peer.mode=secret",), "tls.peer.existingSecret"),
    (("tls.client.mode=cert-manager",), "issuerRef.name"), (("tls.client.clientCertAuth=true",), "tls.client.mode"),
    (("tls.client.existingSecret=a",), "with tls.client.mode=secret only"),
    (("auth.rbac.existingSecret=a", "auth.rbac.rootPassword=b"), "one place only"), (("auth.rbac.rootPassword=" + "x" * 73,), "72 bytes"),
    (("serviceAccount.create=false",), "create"), (("config.name=a",), "config.name"), (("config.peer-cert-file=a",), "config.peer-cert-file"),
    (("extraArgs={max-txn-ops=1}",), "/extraArgs/0"), (("config.Bad_Key=1",), "Bad_Key"),
    (("backup.enabled=true", "backup.destination=s3"), "backup.s3.endpoint is empty"), (("backup.destination=ftp",), "/backup/destination"),
    (("backup.enabled=true", "backup.destination=s3", "backup.s3.endpoint=minio:9000", "backup.s3.bucket=b", "backup.s3.existingSecret=k"), "https://HOST"),
    (("backup.keep=0",), "/backup/keep"), (("restore.enabled=true",), "restore.pvc.existingClaim"),
    (("restore.enabled=true", "restore.pvc.existingClaim=a"), "replicas=1"),
    (("restore.enabled=true", "restore.source=s3"), "restore.s3.endpoint is empty"), (("terminationGracePeriodSeconds=5",), "/terminationGracePeriodSeconds"),
    (("securityContext.runAsUser=0",), "/securityContext/runAsUser"), (("quotaBackendBytes=-1",), "/quotaBackendBytes"),
    (("updateStrategy.type=Recreate",), "/updateStrategy/type"), (("updateStrategy.partition=-1",), "/updateStrategy/partition"),
    (("podDisruptionBudget.unhealthyPodEvictionPolicy=Never",), "/podDisruptionBudget/unhealthyPodEvictionPolicy"),
    (("resources.requests.cpu=much",), "/resources/requests/cpu"), (("backup.resources.limits.memory=1 Gi",), "/backup/resources/limits/memory"),
    (("configFile=name: x",), "configFile: name is set by the chart"), (("configFile=no map",), "no map of settings"),
    (("configFile=client-transport-security: {cert-file: x}",), "client-transport-security is set by the chart"), (("configFile=cors: {a: b}",), "configFile: cors"),
    (("extraArgs={--data-dir=/x}",), "extraArgs: --data-dir"), (("extraArgs={--force-new-cluster}",), "extraArgs: --force-new-cluster"),
    (("extraEnv[0].name=ETCD_NAME", "extraEnv[0].value=x"), "extraEnv: ETCD_NAME"), (("extraEnv[0].name=ETCD_ROOT_PASSWORD", "extraEnv[0].value=x"), "ETCD_ROOT_PASSWORD"),
    (("extraEnv[0].name=A", "extraEnv[0].value=x", "extraEnv[1].name=A", "extraEnv[1].value=y"), "extraEnv: A is there twice"),
    (("extraEnv[0].name=A", "extraEnv[0].value=5"), "/extraEnv/0/value"), (("extraEnv[0].name=A", "extraEnv[0].val=x"), "val"),
    (("extraVolumes[0].emptyDir.medium=Memory",), "/extraVolumes/0"), (("extraVolumeMounts[0].name=a", "extraVolumeMounts[0].mountPath=b"), "/extraVolumeMounts/0/mountPath"),
    (("service.port=null",), "'port'"), (("tls.peer=null",), "'peer'"),
)


def refused():
    for values, text in REFUSED:
        r = helm("template", R, "chart/etcd", *sets(values))
        assert r.returncode != 0, "taken: %s" % (values,)
        assert text in r.stderr, "%s: %s" % (values, r.stderr)
        faults = [line for line in r.stderr.splitlines() if line.startswith("- at ")] or [line for line in r.stderr.splitlines() if "error" in line]
        equal("one fault for " + " ".join(values), len(faults), 1)
        assert r.stdout == ""
    r = helm("template", "r" * 41, "chart/etcd")
    assert r.returncode != 0 and "too long" in r.stderr, r.stderr
    print("ok: %d wrong values, each with its own words" % (len(REFUSED) + 1))


# --- types

WRONG = {"string": (5, True, ["a"], {"a": "b"}), "integer": ("five", True, 1.5, ["a"], {"a": "b"}), "boolean": ("yes", 1, ["a"], {"a": "b"}),
         "array": ("a", 5, True, {"a": "b"}), "object": ("a", 5, True, ["a"]), "number": ("much", True, ["a"], {"a": "b"})}


def nodes(schema, at=()):
    """(path, schema) of every value."""
    for key, s in schema.get("properties", {}).items():
        yield at + (key,), s
        yield from nodes(s, at + (key,))


def laid(pairs):
    """Values with these at their paths."""
    values = {}
    for at, v in pairs:
        place = values
        for key in at[:-1]:
            place = place.setdefault(key, {})
        place[at[-1]] = v
    return values


def types():
    """Each value with each type that it has not, and null in place of each: refused, or what its preset says."""
    with open(os.path.join(CHART, "values.schema.json")) as f:
        schema = json.load(f)
    password = (("auth", "rbac", "rootPassword"), "x")
    every = [(at, s) for at, s in nodes(schema) if at not in (("global",), password[0])]
    kinds = lambda s: s["type"] if isinstance(s["type"], list) else [s["type"]]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        def render_with(pairs):
            f.seek(0)
            f.truncate()
            json.dump(laid(pairs), f)
            f.flush()
            return helm("template", R, "chart/etcd", "--values", f.name)

        # one level at a time: what stands below a wrong value is not looked at
        count = 0
        for depth in range(1, 1 + max(len(at) for at, _ in every)):
            for turn in range(max(map(len, WRONG.values()))):
                wrong = []
                for at, s in every:
                    choice = [v for v in WRONG[kinds(s)[0]] if not any(fits(v, t) for t in kinds(s))]
                    if len(at) == depth and turn < len(choice):
                        wrong.append((at, choice[turn]))
                if not wrong:
                    continue
                r = render_with(wrong)
                assert r.returncode != 0, wrong
                for at, v in wrong:
                    assert "- at '/%s'" % "/".join(at) in r.stderr, "%s: %r: taken" % (".".join(at), v)
                count += len(wrong)
        need = {at + (k,) for at, s in [((), schema)] + every for k in s.get("required", ())}
        for depth in range(1, 1 + max(map(len, need))):
            r = render_with([(at, None) for at in need if len(at) == depth])
            for at in need:
                at_parent = "- at '/%s'" % "/".join(at[:-1]) if len(at) > 1 else "- at '': "
                assert len(at) != depth or any(line.strip().startswith(at_parent) and "'%s'" % at[-1] in line for line in r.stderr.splitlines()), (at, r.stderr)
        spare = [at for at, s in every if at not in need and not any(n[:len(at)] == at for n in need) and at[-1] != "requests"]
        r = render_with([(at, None) for at in spare] + [password])
        equal("null says what the preset says", (r.returncode, r.stderr), (0, ""))
        equal("null says what the preset says", r.stdout.splitlines(), render_with([password]).stdout.splitlines())
    print("ok: %d wrong types, %d nulls" % (count, len(need) + len(spare)))


def fits(v, t):
    return {"string": isinstance(v, str), "integer": isinstance(v, int) and not isinstance(v, bool), "boolean": isinstance(v, bool),
            "number": isinstance(v, (int, float)) and not isinstance(v, bool), "array": isinstance(v, list), "object": isinstance(v, dict)}[t]


# --- certificates

def openssl(*args):
    r = subprocess.run(["openssl", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert r.returncode == 0, "openssl %s: %s" % (" ".join(args), r.stdout)
    return r.stdout


def certificates():
    o = render("tls.client.mode=chart", "tls.peer.mode=chart", "tls.client.clientCertAuth=true", "tls.client.extraNames={etcd.example.com}")
    with tempfile.TemporaryDirectory() as d:
        def file(secret, key):
            path = os.path.join(d, secret + "." + key)
            with open(path, "wb") as f:
                f.write(base64.b64decode(o["Secret", secret]["data"][key]))
            return path
        for side, names in (("client", ["localhost", R + "-etcd", R + "-etcd.team.svc", R + "-etcd.team.svc.cluster.local", "etcd.example.com"]),
                            ("peer", [])):
            secret = "%s-etcd-%s-tls" % (R, side)
            ca, cert = file(secret, "ca.crt"), file(secret, "tls.crt")
            for name in names + ["%s-etcd-4.%s-etcd-headless.team.svc.cluster.local" % (R, R)]:
                for purpose in ("sslserver", "sslclient"):
                    openssl("verify", "-CAfile", ca, "-purpose", purpose, "-verify_hostname", name, cert)
            openssl("verify", "-CAfile", ca, "-verify_ip", "127.0.0.1", cert)
            subject = openssl("x509", "-in", cert, "-noout", "-subject").strip()
            assert subject in ("subject=", "subject= "), "a common name would be a user where clients are known by certificates: " + subject
            equal("key", openssl("x509", "-in", cert, "-noout", "-pubkey"), openssl("pkey", "-in", file(secret, "tls.key"), "-pubout"))
            assert "tls.key" not in str([v for v in pod_of(o)["spec"]["volumes"] if v.get("secret", {}).get("secretName") == secret + "-ca"])
        root = file(R + "-etcd-client-tls-root", "tls.crt")
        assert re.search(r"CN ?= ?root$", openssl("x509", "-in", root, "-noout", "-subject").strip())
        openssl("verify", "-CAfile", file(R + "-etcd-client-tls", "ca.crt"), "-purpose", "sslclient", root)
        other = subprocess.run(["openssl", "verify", "-CAfile", file(R + "-etcd-peer-tls", "ca.crt"), root], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert other.returncode != 0, "a client's certificate opens the peer port"
    mounted = {v["secret"]["secretName"] for v in pod_of(o)["spec"]["volumes"] if "secret" in v}
    assert not any(s.endswith(("-ca", "-root")) for s in mounted), mounted
    print("ok: what the chart signs is taken for the names that members and clients use")


# --- documents

def keys_of(values, schema, path=""):
    """values.yaml and the schema have the same keys; whoever writes {} or [] as preset has none to compare."""
    if schema.get("type") != "object" or "properties" not in schema:
        return
    assert schema.get("additionalProperties") is False, "unknown keys pass below " + path
    optional = {"/global", "/metrics/enabled"} | {r + k for r in ("/resources", "/backup/resources", "/restore/resources", "/metrics/exporter/resources")
                                                 for k in ("/limits", "/claims")}
    for k, s in schema["properties"].items():
        p = path + "/" + k
        assert k in values or p in optional, "the schema has %s, values.yaml has not" % p
        if k in values and isinstance(values[k], dict):
            keys_of(values[k], s, p)
    assert set(values) <= set(schema["properties"]), (path, set(values) - set(schema["properties"]))


def documents():
    values = yaml.safe_load(open(os.path.join(CHART, "values.yaml")))
    keys_of(values, json.load(open(os.path.join(CHART, "values.schema.json"))))
    print("ok: values.yaml and its schema have the same keys")
    dashboard = json.load(open(os.path.join(CHART, "dashboards", "etcd.json")))
    served = open(os.path.join(TOP, "src", "obs", "metric_rows.h")).read()
    shown = set()
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            shown |= set(re.findall(r"\b(?:etcd|grpc_server|process)_[a-z_]+", target["expr"]))
    assert len(shown) > 15
    for name in shown:
        assert '"%s"' % re.sub("_bucket$", "", name) in served, "no metric %s" % name
    print("ok: the dashboard's %d metrics exist" % len(shown))
    o = render("metrics.dashboards.enabled=true")
    equal("dashboard in its map", json.loads(o["ConfigMap", R + "-etcd-dashboards"]["data"][R + "-etcd.json"]), dashboard)


    agent()
    pages(values)
    marketplace(values)


def agent():
    """What the agent is told it knows: every variable is in its contract, or etcd's or etcdctl's own."""
    with open(os.path.join(TOP, "docs", "etcd-agent.md")) as f:
        known = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", f.read()))
    for values in (AXES[1][1] + AXES[3][1] + AXES[4][1], AXES[3][2] + AXES[4][2]):
        o = render(*values)
        containers = [c for _, pod, _ in pods_in(o) for c in pod["spec"]["containers"] + pod["spec"].get("initContainers", [])]
        for c in containers:
            assert c["command"][0] == "etcd-agent"
            for e in c["env"]:
                assert e["name"] in known or e["name"].startswith(("ETCD_", "ETCDCTL_")), "the agent knows no %s" % e["name"]
    assert {"POD_NAME", "STATEFULSET", "POD_SELECTOR"} <= {e["name"] for e in container_of(o)["env"]}
    print("ok: the agent's variables")


def pages(values):
    """Values that the pages name exist, and what is to be run is shell."""
    names = set()
    for page in ("kubernetes.md", "from-bitnami.md"):
        with open(os.path.join(TOP, "docs", page)) as f:
            text = f.read()
        if page == "from-bitnami.md":       # of its table the second column: the first is theirs
            rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
            text = "\n".join(r[2] for r in rows) + text[text.index("## Moving"):]
            text = text.replace("`existingSecretKey`", "`auth.rbac.existingSecretKey`")
        for block in re.findall(r"```shell\n(.*?)```", text, re.S):
            r = subprocess.run(["bash", "-n", "-c", block], stderr=subprocess.PIPE, text=True)
            assert r.returncode == 0, block + r.stderr
        roots = "|".join(k for k in values)
        names |= {n for n in re.findall(r"(?<![\w./{-])((?:%s)(?:\.[A-Za-z0-9]+)+)(?=[=` ,)])" % roots, text)}
    names -= {"tls.crt", "tls.key"}
    assert len(names) > 30, names
    for name in sorted(names):
        at = values
        for key in name.split("."):
            assert isinstance(at, dict), name
            if not at:
                break                       # a map that the user fills
            assert key in at, "a page names %s, which the chart has not" % name
            at = at[key]
    blocks = re.findall(r"```shell\n# run: (\S+)", open(os.path.join(TOP, "docs", "kubernetes.md")).read())
    equal("each block has a name of its own", len(blocks), len(set(blocks)))
    print("ok: %d blocks to run, %d values named" % (len(blocks), len(names)))


def marketplace(values):
    """Every answer of the console lands in a value of the chart that is presented with the same preset."""
    place = os.path.join(DEPLOY, "marketplace")
    with open(os.path.join(place, "schema.yaml")) as f:
        schema = yaml.safe_load(f)
    head, properties = schema["x-google-marketplace"], schema["properties"]
    equal("versions", (head["schemaVersion"], head["applicationApiVersion"]), ("v2", "v1beta1"))
    equal("required", sorted(schema["required"]), sorted(["name", "namespace", "replicas", "metrics.exporter.enabled", "persistence.size"]))
    equal("replicas", (properties["replicas"]["enum"], properties["replicas"]["default"]), ([3, 5], 3))
    equal("storage class", properties["persistence.storageClass"]["x-google-marketplace"]["type"], "STORAGE_CLASS")
    password = properties["auth.rbac.rootPassword"]["x-google-marketplace"]
    equal("password", (password["type"], password["generatedPassword"]["length"], password["generatedPassword"]["includeSymbols"]), ("GENERATED_PASSWORD", 10, False))
    resource, = head["clusterConstraints"]["resources"]
    equal("room", (resource["replicas"], resource["requests"], resource["affinity"]["simpleNodeAffinity"]["type"]),
          (3, {"cpu": "500m", "memory": "1Gi"}, "REQUIRE_ONE_NODE_PER_REPLICA"))
    names = [n for n in properties if n not in ("name", "namespace")] + [n for i in head["images"].values() for n in i["properties"]]
    for name in names:
        at = values
        for key in name.split("."):
            assert key in at, "the chart has no value " + name
            at = at[key]
        preset = properties.get(name, {}).get("default")
        assert preset is None or preset == at, (name, preset, at)
    rules = lambda r: sorted((x["apiGroups"], x["resources"], x["verbs"]) for x in r)
    asked = properties["serviceAccount.name"]["x-google-marketplace"]["serviceAccount"]["roles"][0]["rules"]
    equal("rights", rules(asked), rules(render()["Role", R + "-etcd"]["rules"]))
    r = helm("template", R, "marketplace/apptest/deployer/etcd", "--set", "testerImage=a/tester:1")
    assert r.returncode == 0, r.stderr
    equal("tester", yaml.safe_load(r.stdout)["metadata"]["annotations"]["marketplace.cloud.google.com/verification"], "test")
    suites = sorted(os.listdir(os.path.join(place, "apptest", "tester", "tests")))
    equal("suites", suites, ["nodes-number-suite.yaml", "store-get-message-suite.yaml", "validate-authentication-suite.yaml"])
    for suite in suites:
        with open(os.path.join(place, "apptest", "tester", "tests", suite)) as f:
            for action in yaml.safe_load(f)["actions"]:
                r = subprocess.run(["bash", "-n", "-c", action["bashTest"]["script"]], stderr=subprocess.PIPE, text=True)
                assert r.returncode == 0, r.stderr
    print("ok: the Marketplace's parts")


HELM = None
if __name__ == "__main__":
    jobs = {f.__name__: f for f in (facts, matrix, pairs, refused, types, certificates, documents)}
    if len(sys.argv) != 2 or sys.argv[1] not in jobs:
        sys.exit(__doc__)
    HELM = find_helm()
    jobs[sys.argv[1]]()
