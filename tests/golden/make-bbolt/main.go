// Writes bbolt-nested.db with bbolt itself: pages of 1 KiB, buckets in a bucket (inline and not), a free list that is
// kept, deletes and an overflow page. go run . FILE; xz -9e FILE
package main

import (
	"fmt"
	"os"

	"go.etcd.io/bbolt"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	db, err := bbolt.Open(os.Args[1], 0600, &bbolt.Options{PageSize: 1024})
	must(err)
	must(db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("rows"))
		must(err)
		for i := 0; i < 500; i++ {
			must(b.Put([]byte(fmt.Sprintf("%04d", i)), []byte(fmt.Sprintf("value %d", i))))
		}
		must(b.SetSequence(7))
		o, err := tx.CreateBucket([]byte("outer"))
		must(err)
		for i := 0; i < 40; i++ {
			s, err := o.CreateBucket([]byte(fmt.Sprintf("sub%02d", i)))
			must(err)
			for k := 0; k < i; k++ {
				must(s.Put([]byte(fmt.Sprintf("k%02d", k)), make([]byte, i)))
			}
		}
		must(o.Put([]byte("plain"), []byte("row")))
		return nil
	}))
	must(db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("rows"))
		for i := 0; i < 500; i++ {
			if i%5 != 0 {
				must(b.Delete([]byte(fmt.Sprintf("%04d", i))))
			}
		}
		return b.Put([]byte("large"), make([]byte, 10000))
	}))
	must(db.Close())
}
