// Drives the auth store of Go etcd with seeded requests and prints, for each, the error and the rows of the backend that
// changed: what tests/unit/auth compares with, line by line.
//
//	go run ./authstore SEED STEPS MODE > ../unit/auth/testdata/MODE-SEED.txt      (MODE: mixed, sort, tree)
package main

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"time"

	"go.uber.org/zap"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/auth"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

type world struct {
	r    *rand.Rand
	as   auth.AuthStore
	be   backend.Backend
	rows map[string]string
	keys []string
	ends []string
}

func x(s string) string {
	if s == "" {
		return "-"
	}
	return hex.EncodeToString([]byte(s))
}

// A long value is told by its checksum.
func value(s string) string {
	if len(s) <= 120 {
		return x(s)
	}
	return fmt.Sprintf("crc:%08x:%d", crc32.Checksum([]byte(s), crc32.MakeTable(crc32.Castagnoli)), len(s))
}

func (w *world) snapshot() map[string]string {
	rows := map[string]string{}
	tx := w.be.BatchTx()
	tx.LockOutsideApply()
	defer tx.Unlock()
	for _, b := range []backend.Bucket{schema.Auth, schema.AuthUsers, schema.AuthRoles} {
		err := tx.UnsafeForEach(b, func(k, v []byte) error {
			rows[string(b.Name())+" "+x(string(k))] = value(string(v))
			return nil
		})
		if err != nil {
			panic(err)
		}
	}
	return rows
}

func (w *world) done(line string, err error) {
	text := "ok"
	if err != nil {
		text = err.Error()
	}
	fmt.Printf("%s\n= %s\n", line, text)
	now := w.snapshot()
	var changed []string
	for k, v := range now {
		if w.rows[k] != v {
			changed = append(changed, "+ "+k+" "+v)
		}
	}
	for k := range w.rows {
		if _, ok := now[k]; !ok {
			changed = append(changed, "~ "+k)
		}
	}
	sort.Strings(changed)
	for _, c := range changed {
		fmt.Println(c)
	}
	w.rows = now
}

func pick(r *rand.Rand, from []string) string { return from[r.Intn(len(from))] }

func (w *world) user() string { return pick(w.r, []string{"root", "u1", "u2", "u3", "u4", "u5", ""}) }
func (w *world) role() string { return pick(w.r, []string{"root", "r1", "r2", "r3", "ra", ""}) }

func (w *world) userAdd(name string) {
	req := &pb.AuthUserAddRequest{Name: name}
	kind := w.r.Intn(6)
	switch kind {
	case 0:
		req.Options = &authpb.UserAddOptions{NoPassword: true}
	case 1:
		req.Options = &authpb.UserAddOptions{}
	case 2:
		req.HashedPassword = "!"
	}
	if kind != 2 {
		req.HashedPassword = base64.StdEncoding.EncodeToString([]byte("hash" + strconv.Itoa(w.r.Intn(100))))
	}
	options := "none"
	if req.Options != nil {
		options = strconv.FormatBool(req.Options.NoPassword)
	}
	_, err := w.as.UserAdd(req)
	w.done(fmt.Sprintf("user-add %s %s %s", x(name), req.HashedPassword, options), err)
}

func (w *world) grant(role string) {
	p := &authpb.Permission{PermType: authpb.Permission_Type(w.r.Intn(3)), Key: []byte(pick(w.r, w.keys)), RangeEnd: []byte(pick(w.r, w.ends))}
	if w.r.Intn(40) == 0 {
		p = nil
	}
	_, err := w.as.RoleGrantPermission(&pb.AuthRoleGrantPermissionRequest{Name: role, Perm: p})
	if p == nil {
		w.done(fmt.Sprintf("role-grant %s none - -", x(role)), err)
		return
	}
	w.done(fmt.Sprintf("role-grant %s %d %s %s", x(role), p.PermType, x(string(p.Key)), x(string(p.RangeEnd))), err)
}

func (w *world) check() {
	name, key, end := w.user(), pick(w.r, w.keys), pick(w.r, w.ends)
	rev := w.as.Revision()
	if w.r.Intn(8) == 0 {
		rev = uint64(w.r.Intn(3)) * rev / 2
	}
	info := &auth.AuthInfo{Username: name, Revision: rev}
	right, err := "read", error(nil)
	switch w.r.Intn(4) {
	case 0, 1:
		err = w.as.IsRangePermitted(info, []byte(key), []byte(end))
	case 2:
		right = "write"
		err = w.as.IsDeleteRangePermitted(info, []byte(key), []byte(end))
	default:
		right = "admin"
		err = w.as.IsAdminPermitted(info)
	}
	w.done(fmt.Sprintf("check-%s %s %d %s %s", right, x(name), rev, x(key), x(end)), err)
}

func (w *world) step() {
	// Enabled most of the time: what is asked of a store that is off is always granted.
	if !w.as.IsAuthEnabled() && w.r.Intn(30) == 0 {
		w.userAdd("root")
		_, err := w.as.UserGrantRole(&pb.AuthUserGrantRoleRequest{User: "root", Role: "root"})
		w.done("user-grant "+x("root")+" "+x("root"), err)
		w.done("enable", w.as.AuthEnable())
	}
	switch w.r.Intn(20) {
	case 0, 1:
		w.userAdd(w.user())
	case 2:
		name := w.user()
		_, err := w.as.UserDelete(&pb.AuthUserDeleteRequest{Name: name})
		w.done("user-delete "+x(name), err)
	case 3:
		name, hash := w.user(), []string{"", "bmV3", "!"}[w.r.Intn(3)]
		_, err := w.as.UserChangePassword(&pb.AuthUserChangePasswordRequest{Name: name, HashedPassword: hash})
		if hash == "" {
			hash = "-"
		}
		w.done("user-passwd "+x(name)+" "+hash, err)
	case 4, 5:
		name, role := w.user(), w.role()
		_, err := w.as.UserGrantRole(&pb.AuthUserGrantRoleRequest{User: name, Role: role})
		w.done("user-grant "+x(name)+" "+x(role), err)
	case 6:
		name, role := w.user(), w.role()
		_, err := w.as.UserRevokeRole(&pb.AuthUserRevokeRoleRequest{Name: name, Role: role})
		w.done("user-revoke "+x(name)+" "+x(role), err)
	case 7:
		role := w.role()
		_, err := w.as.RoleAdd(&pb.AuthRoleAddRequest{Name: role})
		w.done("role-add "+x(role), err)
	case 8:
		if w.r.Intn(3) > 0 {
			return
		}
		role := w.role()
		_, err := w.as.RoleDelete(&pb.AuthRoleDeleteRequest{Role: role})
		w.done("role-delete "+x(role), err)
	case 9, 10, 11:
		w.grant(w.role())
	case 12:
		role, key, end := w.role(), pick(w.r, w.keys), pick(w.r, w.ends)
		_, err := w.as.RoleRevokePermission(&pb.AuthRoleRevokePermissionRequest{Role: role, Key: []byte(key), RangeEnd: []byte(end)})
		w.done(fmt.Sprintf("role-revoke %s %s %s", x(role), x(key), x(end)), err)
	case 13:
		if w.r.Intn(12) == 0 {
			w.as.AuthDisable()
			w.done("disable", nil)
		} else {
			w.done("enable", w.as.AuthEnable())
		}
	default:
		w.check()
	}
}

// Roles of many permissions with few keys: what Go's sort makes of equal ones.
func (w *world) sortStep(i int) {
	roles := []string{"few", "some", "many"}
	if i == 0 {
		for _, r := range roles {
			_, err := w.as.RoleAdd(&pb.AuthRoleAddRequest{Name: r})
			w.done("role-add "+x(r), err)
		}
	}
	n := map[string]int{"few": 2, "some": 7, "many": 60}
	role := pick(w.r, roles)
	key := fmt.Sprintf("k%02d", w.r.Intn(n[role]))
	end := fmt.Sprintf("l%03d", w.r.Intn(1000))
	p := &authpb.Permission{PermType: authpb.Permission_Type(w.r.Intn(3)), Key: []byte(key), RangeEnd: []byte(end)}
	_, err := w.as.RoleGrantPermission(&pb.AuthRoleGrantPermissionRequest{Name: role, Perm: p})
	w.done(fmt.Sprintf("role-grant %s %d %s %s", x(role), p.PermType, x(key), x(end)), err)
}

// Many permissions, then requests of which half have an end that is not above the key: the shape of the tree decides those.
func (w *world) treeStep(i int) {
	word := func() string {
		s := make([]byte, 1+w.r.Intn(2))
		for k := range s {
			s[k] = byte('a' + w.r.Intn(16))
		}
		return string(s)
	}
	if i == 0 {
		for _, u := range []string{"root", "u"} {
			w.userAdd(u)
		}
		for _, r := range []string{"r1", "r2"} {
			_, err := w.as.RoleAdd(&pb.AuthRoleAddRequest{Name: r})
			w.done("role-add "+x(r), err)
			_, err = w.as.UserGrantRole(&pb.AuthUserGrantRoleRequest{User: "u", Role: r})
			w.done("user-grant "+x("u")+" "+x(r), err)
		}
		_, err := w.as.UserGrantRole(&pb.AuthUserGrantRoleRequest{User: "root", Role: "root"})
		w.done("user-grant "+x("root")+" "+x("root"), err)
		w.done("enable", w.as.AuthEnable())
	}
	if w.r.Intn(8) == 0 {
		w.keys, w.ends = []string{word()}, []string{word(), ""}
		w.grant(pick(w.r, []string{"r1", "r2"}))
		return
	}
	info := &auth.AuthInfo{Username: "u", Revision: w.as.Revision()}
	key, end := word(), word()
	err := w.as.IsRangePermitted(info, []byte(key), []byte(end))
	w.done(fmt.Sprintf("check-read %s %d %s %s", x("u"), info.Revision, x(key), x(end)), err)
}

func main() {
	seed, err := strconv.ParseInt(os.Args[1], 10, 64)
	steps, err2 := strconv.Atoi(os.Args[2])
	if errors.Join(err, err2) != nil {
		panic(errors.Join(err, err2))
	}
	dir, err := os.MkdirTemp("", "authstore")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	lg := zap.NewNop()
	be := backend.NewDefaultBackend(lg, filepath.Join(dir, "db"))
	defer be.Close()
	tp, err := auth.NewTokenProvider(lg, "simple", func(uint64) <-chan struct{} {
		ch := make(chan struct{})
		close(ch)
		return ch
	}, time.Minute)
	if err != nil {
		panic(err)
	}
	w := &world{
		r:    rand.New(rand.NewSource(seed)),
		be:   be,
		as:   auth.NewAuthStore(lg, schema.NewAuthBackend(lg, be), tp, 4),
		rows: map[string]string{},
		keys: []string{"a", "b", "c", "d", "a\x00", "b\x00", "e", "f", "", "\x00", "\xff"},
		ends: []string{"", "", "\x00", "b", "c", "d", "e", "f", "g", "a", "a\x00\x00", "b\x00", "\xff\xff"},
	}
	fmt.Printf("# go run ./authstore %s %s %s\n", os.Args[1], os.Args[2], os.Args[3])
	w.done("start", nil)
	for i := 0; i < steps; i++ {
		switch os.Args[3] {
		case "sort":
			w.sortStep(i)
		case "tree":
			w.treeStep(i)
		default:
			w.step()
		}
	}
}
