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
        self.server_alone = self.leaf("serveralone", "DNS:localhost,IP:127.0.0.1", usage="serverAuth")
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


class Odd:
    """Chains that crypto/x509 and OpenSSL might see with different eyes: `certs` are clients' (certificate, key) by name, `cas` the files that
    are trusted. Nothing has key identifiers unless it is said."""
    NAME = "/O=etcd/C=US"

    def __init__(self, directory):
        self.dir = directory
        os.makedirs(directory)
        ca, end = "basicConstraints=critical,CA:TRUE", "basicConstraints=CA:FALSE"
        both = "\nextendedKeyUsage=serverAuth,clientAuth"
        sign, digital = "\nkeyUsage=critical,digitalSignature,keyCertSign,cRLSign", "\nkeyUsage=critical,digitalSignature"
        root = self.make("root", self.NAME, ca + both + sign)
        twin = self.make("twin", self.NAME, ca + both + sign)
        named = self.make("named-root", "/CN=named root", ca + sign + "\nsubjectKeyIdentifier=hash")
        mid = self.make("mid", "/CN=mid", ca + sign, named)
        no_ca = self.make("no-ca", "/CN=no ca", end + sign)
        silent = self.make("silent", "/CN=silent", "keyUsage=critical,keyCertSign")
        no_sign = self.make("no-sign", "/CN=no sign", ca + "\nkeyUsage=critical,digitalSignature")
        for_servers = self.make("for-servers", "/CN=for servers", ca + "\nextendedKeyUsage=serverAuth")
        for_any = self.make("for-any", "/CN=for any", ca + "\nextendedKeyUsage=anyExtendedKeyUsage")
        old = self.make("old-root", "/CN=old", ca + sign, days=-1)
        narrow = self.make("narrow", "/CN=narrow", ca + "\nnameConstraints=critical,permitted;IP:127.0.0.0/255.0.0.0,permitted;DNS:inside.test")
        odd = self.make("odd", "/CN=odd", ca + "\n1.2.3.4=critical,ASN1:NULL")
        v1 = self.make("v1", "/CN=v1", None)
        # The same again, of their authority's name.
        same = {k: self.make("same as " + k, self.subject(pair), end + both + digital, pair)
                for k, pair in (("no-ca", no_ca), ("silent", silent), ("no-sign", no_sign), ("for-servers", for_servers), ("for-any", for_any),
                                ("old", old), ("odd", odd), ("v1", v1))}
        self.certs = dict(
            {"authority's subject": self.make("same", self.NAME, end + both + digital, root),
             "and a subject key identifier": self.make("same-key", self.NAME, end + both + digital + "\nsubjectKeyIdentifier=01:02:03", root),
             "and usage for signing": self.make("same-sign", self.NAME, end + both + sign, root),
             "and an authority": self.make("same-ca", self.NAME, ca + both + sign, root),
             "and no extension": self.make("same-none", self.NAME, None, root),
             "and expired": self.make("same-old", self.NAME, end + both, root, days=-1),
             "and for servers only": self.make("same-server", self.NAME, end + "\nextendedKeyUsage=serverAuth", root),
             "and for any use": self.make("same-any", self.NAME, end + "\nextendedKeyUsage=anyExtendedKeyUsage", root),
             "and SHA-1": self.make("same-sha1", self.NAME, end + both, root, "sha1"),
             "and an unknown critical extension": self.make("same-odd", self.NAME, end + both + "\n1.2.3.4=critical,ASN1:NULL", root),
             "and a short key": self.make("same-short", self.NAME, end + both, root, key=("rsa", "rsa_keygen_bits:1024")),
             "self-signed": self.make("self", self.NAME, end + both + digital),
             "self-signed authority": twin,
             "by another of the same name": self.make("by-twin", self.NAME, end + both + digital, twin),
             "trusted itself": self.make("pinned", "/CN=pinned", end + both),
             "below what is trusted": self.make("below-mid", "/CN=below", end + both, mid),
             "by an unknown identifier": self.make("akid", "/CN=akid", end + both + "\n2.5.29.35=DER:30058003010203", named),
             "for any use": self.make("any", "/CN=any", end + "\nextendedKeyUsage=anyExtendedKeyUsage", named),
             "for e-mail only": self.make("mail", "/CN=mail", end + "\nextendedKeyUsage=emailProtection", named),
             "of no use for signing": self.make("encipher", "/CN=encipher", end + both + "\nkeyUsage=critical,keyEncipherment", named),
             "SHA-1": self.make("sha1", "/CN=sha1", end + both, named, "sha1"),
             "within the names": self.make("within", "/CN=narrow", end + both + "\nsubjectAltName=IP:127.0.0.1", narrow),
             "outside of the names": self.make("outside", "/CN=narrow", end + both + "\nsubjectAltName=IP:127.0.0.1,DNS:outside.test", narrow),
             "outside, of another subject": self.make("outside-other", "/CN=x", end + both + "\nsubjectAltName=IP:127.0.0.1,DNS:outside.test", narrow)},
            **{"authority's subject, authority " + k: v for k, v in same.items()})
        for k, pair in (("no-ca", no_ca), ("silent", silent), ("for-servers", for_servers), ("for-any", for_any), ("old", old)):
            self.certs["authority " + k] = self.make("by-" + k, "/CN=by " + k, end + both, pair)
        self.trusted = self.path("trusted.pem")
        with open(self.trusted, "w") as out:
            for pair in (root, mid, no_ca, silent, no_sign, for_servers, for_any, old, narrow, odd, v1, named, self.certs["trusted itself"]):
                with open(pair[0]) as f:
                    out.write(f.read())
        self.mid = mid[0]

    path, openssl = Authority.path, Authority.openssl

    def subject(self, pair):
        r = subprocess.run(["openssl", "x509", "-in", pair[0], "-noout", "-subject", "-nameopt", "compat"], stdout=subprocess.PIPE)
        return r.stdout.decode().strip().replace("subject=", "").strip()

    def make(self, name, subject, extensions, by=None, digest="sha256", days=30, key=("ec", "ec_paramgen_curve:P-256")):
        cert, private, request, ext = (self.path(name + end) for end in (".pem", ".key", ".csr", ".ext"))
        self.openssl("req", "-newkey", key[0], "-pkeyopt", key[1], "-nodes", "-keyout", private, "-subj", subject, "-out", request)
        with open(ext, "w") as f:
            f.write((extensions or "") + "\n")
            for key_id, oid in (("subjectKeyIdentifier", "2.5.29.14"), ("authorityKeyIdentifier", "2.5.29.35")):
                if extensions and key_id not in extensions and oid not in extensions:
                    f.write(key_id + "=none\n")            # else openssl adds one
        signer = ["-CA", by[0], "-CAkey", by[1], "-CAcreateserial"] if by else ["-signkey", private]
        self.openssl("x509", "-req", "-in", request, *signer, "-" + digest, "-days", str(days), *(["-extfile", ext] if extensions else []), "-out", cert)
        return cert, private
