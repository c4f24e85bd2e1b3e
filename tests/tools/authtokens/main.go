// Prints tokens that Go etcd signs with fresh keys, one line a method, and bcrypt hashes, for tests/unit/auth:
//
//	go run ./authtokens > ../unit/auth/testdata/tokens.txt
//
//	jwt METHOD base64(private) base64(public) hex(user) REVISION EXPIRES TOKEN
//	bcrypt hex(password) HASH
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/crypto/bcrypt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/auth"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// Different PEM forms, as users have them.
func keys(method string) (private, public []byte) {
	var pub any
	switch {
	case strings.HasPrefix(method, "HS"):
		return []byte("a secret of some length, no PEM\x00\xff"), nil
	case method == "EdDSA":
		p, k, err := ed25519.GenerateKey(rand.Reader)
		pub, private = p, pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(must(k, err))))
	case strings.HasPrefix(method, "ES"):
		curve := map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}[method]
		k := must(ecdsa.GenerateKey(curve, rand.Reader))
		pub, private = &k.PublicKey, pemOf("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(k)))
	default:
		k := must(rsa.GenerateKey(rand.Reader, 2048))
		pub, private = &k.PublicKey, pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k))
		if method == "RS384" {
			return pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(k))), pemOf("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&k.PublicKey))
		}
	}
	return private, pemOf("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(pub)))
}

func token(dir, method, user string) {
	private, public := keys(method)
	options := "jwt,sign-method=" + method + ",ttl=1h,priv-key=" + filepath.Join(dir, "private")
	if err := os.WriteFile(filepath.Join(dir, "private"), private, 0o600); err != nil {
		panic(err)
	}
	if public != nil {
		options += ",pub-key=" + filepath.Join(dir, "public")
		if err := os.WriteFile(filepath.Join(dir, "public"), public, 0o600); err != nil {
			panic(err)
		}
	}
	lg := zap.NewNop()
	be := backend.NewDefaultBackend(lg, filepath.Join(dir, method))
	defer be.Close()
	as := auth.NewAuthStore(lg, schema.NewAuthBackend(lg, be), must(auth.NewTokenProvider(lg, options, nil, 0)), bcrypt.MinCost)
	for _, name := range []string{"root", user} {
		must(as.UserAdd(&pb.AuthUserAddRequest{Name: name}))
	}
	must(as.UserGrantRole(&pb.AuthUserGrantRoleRequest{User: "root", Role: "root"}))
	if err := as.AuthEnable(); err != nil {
		panic(err)
	}
	text := must(as.Authenticate(context.Background(), user, "")).Token
	var claims struct {
		Exp      int64
		Revision uint64
	}
	if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[1])), &claims); err != nil {
		panic(err)
	}
	shown := "-"
	if public != nil {
		shown = base64.StdEncoding.EncodeToString(public)
	}
	fmt.Printf("jwt %s %s %s %s %d %d %s\n", method, base64.StdEncoding.EncodeToString(private), shown,
		hex.EncodeToString([]byte(user)), claims.Revision, claims.Exp, text)
}

func main() {
	dir := must(os.MkdirTemp("", "authtokens"))
	defer os.RemoveAll(dir)
	for _, method := range strings.Fields("RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 HS256 HS384 HS512 EdDSA") {
		token(dir, method, "we\"ird\\<&>\u00e9\n")
	}
	for _, password := range []string{"", "a", "pass word", "\xff\xfe\x80", "\u00e9\u00e9", strings.Repeat("x", 72), "U*U*U*U*"} {
		shown := hex.EncodeToString([]byte(password))
		if shown == "" {
			shown = "-"
		}
		fmt.Printf("bcrypt %s %s\n", shown, must(bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)))
	}
}
