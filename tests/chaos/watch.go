package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A watcher over all registers from revision 1 on, through every failover: it must see each revision once, in order.
type watcher struct {
	revs   []int64
	values map[int64]bool
	wrong  string
}

func (w *watcher) run(ctx context.Context, c *cluster) {
	w.values = map[int64]bool{}
	next := int64(1)
	for i := 0; ctx.Err() == nil; i++ {
		cl := dial(c.members[i%len(c.members)].client)
		wctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		for r := range cl.Watch(clientv3.WithRequireLeader(wctx), "reg/", clientv3.WithPrefix(), clientv3.WithRev(next)) {
			if r.Err() != nil {
				break
			}
			for _, e := range r.Events {
				if e.Kv.ModRevision < next && w.wrong == "" {
					w.wrong = fmt.Sprintf("revision %d came again or late, after %d", e.Kv.ModRevision, next-1)
				}
				next = e.Kv.ModRevision + 1
				w.revs = append(w.revs, e.Kv.ModRevision)
				v, _ := strconv.ParseInt(string(e.Kv.Value), 10, 64)
				w.values[v] = true
			}
		}
		cancel()
		cl.Close()
	}
}

// The cluster's own history says what there was to see: every revision of a register, up to the last one seen.
func (w *watcher) check(c *cluster) bool {
	if w.wrong != "" {
		fmt.Println("FAIL watch:", w.wrong)
		return false
	}
	if len(w.revs) == 0 {
		fmt.Println("FAIL watch: nothing was seen")
		return false
	}
	last := w.revs[len(w.revs)-1]
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cl := dial(c.endpoints()...)
	defer cl.Close()
	i := 0
	for r := range cl.Watch(ctx, "reg/", clientv3.WithPrefix(), clientv3.WithRev(1)) {
		for _, e := range r.Events {
			if e.Kv.ModRevision > last {
				continue
			}
			if i >= len(w.revs) || w.revs[i] != e.Kv.ModRevision {
				fmt.Println("FAIL watch: revision", e.Kv.ModRevision, "was not seen")
				return false
			}
			i++
		}
		if i == len(w.revs) {
			fmt.Printf("watch: %d events, each once and in order\n", i)
			return true
		}
		if r.Err() != nil {
			break
		}
	}
	fmt.Println("FAIL watch: the history could not be read again")
	return false
}
