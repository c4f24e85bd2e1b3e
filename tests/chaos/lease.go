package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const leaseTTL = 10 // s

// Somebody who lives by a lease: while its renewals are answered, what hangs on it must be there.
type keeper struct {
	mu      sync.Mutex
	renewed int
	lost    []string
	regrant int
}

func (k *keeper) run(ctx context.Context, c *cluster) {
	cl := dial(c.endpoints()...)
	defer cl.Close()
	var id clientv3.LeaseID
	var sure time.Time // promised up to here
	for i := 0; ctx.Err() == nil; i++ {
		one, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
		asked := time.Now()
		if id == 0 {
			if r, err := cl.Grant(one, leaseTTL); err == nil {
				if _, err = cl.Put(one, "lease/held", fmt.Sprint(i), clientv3.WithLease(r.ID)); err == nil {
					id, sure = r.ID, asked.Add(leaseTTL*time.Second)
				}
			}
		} else if r, err := cl.KeepAliveOnce(one, id); err == nil && r.TTL > 0 {
			k.renewed++
			sure = asked.Add(time.Duration(r.TTL) * time.Second)
		}
		if r, err := cl.Get(one, "lease/held"); id != 0 && err == nil && len(r.Kvs) == 0 {
			if now := time.Now(); now.Before(sure) {
				k.mu.Lock()
				k.lost = append(k.lost, fmt.Sprintf("%.1f s before its time", sure.Sub(now).Seconds()))
				k.mu.Unlock()
			} else {
				k.regrant++ // nobody could renew it in time
			}
			id = 0
		}
		cancel()
		time.Sleep(500 * time.Millisecond)
	}
}

func (k *keeper) check() bool {
	if len(k.lost) > 0 {
		fmt.Println("FAIL lease lost:", k.lost)
		return false
	}
	fmt.Printf("lease: %d renewals, never lost before its time, %d times run out\n", k.renewed, k.regrant)
	return true
}
