"""Certificates of every kind that a test needs, made by the openssl command.

    a = Authority(directory)
    a.ca, a.server, a.client, ...       files; pairs are (certificate, key)
    a.other                             another authority with ca and client"""
import os
import subprocess

DAYS = ["-days", "30"]


class Authority:
    def __init__(self, directory, whole=True):
        self.dir = directory
        os.makedirs(directory)
        self.ca = self.path("ca.pem")
        self.openssl("req", "-x509", *self.key("ca"), *DAYS, "-subj", "/CN=ca", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", self.ca)
        self.client = self.leaf("client")
        if not whole:
            return
        self.server = self.leaf("server", "DNS:localhost,IP:127.0.0.1")
        self.second = self.leaf("second")
        self.san = self.leaf("san", "DNS:client.test,IP:127.0.0.1")
        self.wild = self.leaf("wild", "DNS:*.wild.test,IP:127.0.0.1")
        self.ip = self.leaf("ip", "IP:127.0.0.9")
        self.elsewhere = self.leaf("elsewhere", "DNS:elsewhere.invalid,DNS:*.elsewhere.invalid,IP:127.0.0.9")
        self.named = self.leaf("named", "DNS:named.invalid")
        self.local = self.leaf("local", "IP:127.0.0.1")
        self.server_only = self.leaf("serveronly", usage="serverAuth")
        self.revoked = self.leaf("revoked")
        self.expired = self.leaf("expired", dates=("20200101000000Z", "20200201000000Z"))
        self.early = self.leaf("early", dates=("20900101000000Z", "20900201000000Z"))
        self.self_signed = self.path("self.pem"), self.path("self-key.pem")
        self.openssl("req", "-x509", *self.key("self"), *DAYS, "-subj", "/CN=client", "-out", self.self_signed[0])
        self.below = self.chain()
        self.crl_der = self.revoke(self.revoked[0])
        self.other = Authority(os.path.join(directory, "other"), whole=False)

    def path(self, name):
        return os.path.join(self.dir, name)

    def openssl(self, *args):
        r = subprocess.run(["openssl"] + list(args), cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert r.returncode == 0, r.stdout.decode()

    def key(self, name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path(name + "-key.pem")]

    def config(self):
        """For `openssl ca`, which alone takes dates and makes revocation lists."""
        with open(self.path("ca.cnf"), "w") as f:
            f.write("[ca]\ndefault_ca=d\n[d]\ndatabase=%s\nnew_certs_dir=%s\nserial=%s\ncrlnumber=%s\ndefault_md=sha256\npolicy=p\n"
                    "unique_subject=no\nemail_in_dn=no\n[p]\ncommonName=supplied\n" %
                    (self.path("index"), self.dir, self.path("serial"), self.path("crlnumber")))
        open(self.path("index"), "a").close()
        for name in ("serial", "crlnumber"):
            if not os.path.exists(self.path(name)):
                with open(self.path(name), "w") as f:
                    f.write("1000\n")
        return ["ca", "-config", self.path("ca.cnf"), "-batch", "-cert", self.ca, "-keyfile", self.path("ca-key.pem")]

    def leaf(self, name, san=None, usage="serverAuth,clientAuth", dates=None, ca=None, subject=None):
        cert, request, ext = self.path(name + ".pem"), self.path(name + ".csr"), self.path(name + ".ext")
        self.openssl("req", *self.key(name), "-subj", subject or "/CN=" + name, "-out", request)
        with open(ext, "w") as f:
            f.write("basicConstraints=CA:FALSE\nextendedKeyUsage=%s\n%s" % (usage, "subjectAltName=%s\n" % san if san else ""))
        if ca:
            self.openssl("x509", "-req", "-in", request, "-CA", ca[0], "-CAkey", ca[1], "-CAcreateserial", *DAYS, "-extfile", ext, "-out", cert)
        else:
            when = ["-startdate", dates[0], "-enddate", dates[1]] if dates else DAYS
            self.openssl(*self.config(), "-in", request, "-out", cert, "-extfile", ext, "-notext", *when)
        return cert, self.path(name + "-key.pem")

    def chain(self):
        """A client's certificate by an authority below ours, with that authority's behind it."""
        mid, request = self.path("mid.pem"), self.path("mid.csr")
        self.openssl("req", *self.key("mid"), "-subj", "/CN=mid", "-out", request)
        with open(self.path("mid.ext"), "w") as f:
            f.write("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n")
        self.openssl(*self.config(), "-in", request, "-out", mid, "-extfile", self.path("mid.ext"), "-notext", *DAYS)
        cert, key = self.leaf("below", ca=(mid, self.path("mid-key.pem")))
        both = self.path("below-chain.pem")
        with open(both, "w") as out:
            for part in (cert, mid):
                with open(part) as f:
                    out.write(f.read())
        return both, key

    def revoke(self, cert):
        self.openssl(*self.config(), "-revoke", cert)
        self.openssl(*self.config(), "-gencrl", "-crldays", "30", "-out", self.path("crl.pem"))
        self.openssl("crl", "-in", self.path("crl.pem"), "-outform", "DER", "-out", self.path("crl.der"))
        return self.path("crl.der")
