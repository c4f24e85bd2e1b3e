package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A file system of its own for each member: an ext4 image behind a loop device, so that one can be full, slow or silent and the others
// notice nothing of it. Needs root.
type disk struct {
	image, mount string
	mounted      bool
	frozen       bool
}

const diskBytes = 400 << 20 // two segments of the log, and room

func sh(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

func newDisk(mount string) (*disk, error) {
	d := &disk{image: mount + ".img", mount: mount}
	if err := os.MkdirAll(mount, 0700); err != nil {
		return nil, err
	}
	f, err := os.Create(d.image)
	if err == nil {
		err = f.Truncate(diskBytes)
		f.Close()
	}
	if err == nil {
		err = sh("mkfs.ext4", "-q", "-F", d.image)
	}
	if err == nil {
		err = sh("mount", "-o", "loop", d.image, mount)
	}
	d.mounted = err == nil
	return d, err
}

func (d *disk) balloon() string { return filepath.Join(d.mount, "balloon") }

// All that is free is taken.
func (d *disk) fill() {
	var s syscall.Statfs_t
	f, err := os.Create(d.balloon())
	if err != nil {
		return
	}
	defer f.Close()
	for unit := uint64(16 << 20); unit >= 4096; unit /= 4 {
		for syscall.Statfs(d.mount, &s) == nil && uint64(s.Bfree)*uint64(s.Bsize) >= unit {
			at, _ := f.Seek(0, 2)
			if syscall.Fallocate(int(f.Fd()), 0, at, int64(unit)) != nil {
				break
			}
		}
	}
}

// Writes and syncs wait until it is thawed; reads of what is in memory go on.
func (d *disk) freeze(frozen bool) {
	if d.frozen == frozen {
		return
	}
	flag := "-u"
	if frozen {
		flag = "-f"
	}
	if err := sh("fsfreeze", flag, d.mount); err != nil {
		fmt.Print(" (", err, ") ")
		return
	}
	d.frozen = frozen
}

// Each write waits for its turn: the disk answers now and then.
func (d *disk) slow(until time.Time, hang, work time.Duration) {
	for time.Now().Before(until) {
		d.freeze(true)
		time.Sleep(hang)
		d.freeze(false)
		time.Sleep(work)
	}
}

func (d *disk) heal() {
	d.freeze(false)
	os.Remove(d.balloon())
}

func (d *disk) close() {
	if !d.mounted {
		return
	}
	d.heal()
	for i := 0; i < 20 && d.mounted; i++ {
		if d.mounted = sh("umount", d.mount) != nil; d.mounted {
			time.Sleep(200 * time.Millisecond)
		}
	}
	os.Remove(d.image)
}
