/* Files, through a table: posix in production, a lying disk in memory for tests and the simulator.
 *
 * Paths are NUL-terminated, as the operating system has them. All calls may block. Calls on one file from
 * several threads are allowed (pread/pwrite/sync), open/close/rename by its owner only.
 * Errors: ERR_IO unless errno means more (err_from_errno). A failed sync is not retried: the caller ends
 * with FATAL, for the kernel may have dropped the dirty pages. */
#ifndef ENV_VFS_H
#define ENV_VFS_H

#include "base/buf.h"

struct vfs;
struct vfs_file;

enum vfs_open_flags {
	VFS_READ = 0,
	VFS_WRITE = 1,          /* read and write */
	VFS_CREATE = 2,         /* create if missing */
	VFS_EXCLUSIVE = 4,      /* with CREATE: fail with ERR_EXIST if there */
	VFS_TRUNCATE = 8,
};

enum vfs_lock_kind {
	VFS_LOCK_OFD,           /* fcntl OFD lock on the whole file (WAL files); flock where the kernel has none */
	VFS_LOCK_FLOCK,         /* flock (the backend file) */
	VFS_LOCK_FLOCK_SHARED,
};

struct vfs_stat {
	uint64_t size_bytes;
	uint32_t mode;          /* permission bits */
	bool is_dir;
};

/* Sorted bytewise; "." and ".." left out. Freed with vfs_names_free. */
struct vfs_names {
	char **at;
	size_t count;
};

/* One asynchronous write-and-sync (see vfs_start). The struct lives until done was called. */
struct vfs_io {
	struct vfs_file *file;
	uint64_t offset;
	struct slice data;              /* borrowed till done; may be empty: sync only */
	bool sync;                      /* fdatasync after the write */
	/* Any thread, once; posts to an actor and returns. A write that it starts may run only after it has returned. */
	void (*done)(struct vfs_io *io);
	err_t err;                      /* set before done */
	uint64_t sync_ns;               /* how long the sync took */
	struct vfs_io *next;            /* the implementation's */
};

/* Takes what a thread starts, to do it there a little later, when the thread would go to sleep anyway: a lone write needs no
 * other thread then. take returns false to refuse. What it took is done with vfs_run, and then io->done is called. */
struct vfs_host {
	bool (*take)(struct vfs_host *h, struct vfs_io *io);
};

struct vfs_ops {
	err_t (*open)(struct vfs *fs, const char *path, int flags, uint32_t mode, struct vfs_file **out);
	void (*close)(struct vfs_file *f);
	err_t (*pread)(struct vfs_file *f, uint64_t offset, void *out, size_t size, size_t *got);
	err_t (*pwrite)(struct vfs_file *f, uint64_t offset, const void *data, size_t size);
	err_t (*sync)(struct vfs_file *f);
	err_t (*flush)(struct vfs_file *f, uint64_t offset, uint64_t size);
	err_t (*truncate)(struct vfs_file *f, uint64_t size);
	err_t (*allocate)(struct vfs_file *f, uint64_t size);
	err_t (*size)(struct vfs_file *f, uint64_t *out);
	err_t (*lock)(struct vfs_file *f, enum vfs_lock_kind kind);
	err_t (*map)(struct vfs_file *f, uint64_t reserve, const uint8_t **out, uint64_t *reserved);
	void (*unmap)(struct vfs_file *f, const uint8_t *map, uint64_t reserved);
	bool (*map_in)(struct vfs_file *f, const uint8_t *at, size_t size);     /* NULL: never */
	void (*map_out)(struct vfs_file *f, const uint8_t *at, size_t size);
	err_t (*map_lock)(struct vfs_file *f, const uint8_t *at, size_t size);  /* NULL: it is memory */
	void (*forget)(struct vfs_file *f, uint64_t offset, uint64_t size);     /* NULL: never */
	void (*start)(struct vfs_io *io);
	err_t (*rename)(struct vfs *fs, const char *from, const char *to);
	err_t (*remove)(struct vfs *fs, const char *path);
	err_t (*mkdir)(struct vfs *fs, const char *path, uint32_t mode);
	err_t (*list)(struct vfs *fs, const char *path, struct vfs_names *out);
	err_t (*stat)(struct vfs *fs, const char *path, struct vfs_stat *out);
	err_t (*sync_dir)(struct vfs *fs, const char *path);
};

/* Implementations embed these as their first field. */
struct vfs {
	const struct vfs_ops *ops;
};

struct vfs_file {
	struct vfs *fs;
};

/* The operating system's files. Static, never freed. */
struct vfs *vfs_posix(void);

NODISCARD err_t vfs_open(struct vfs *fs, const char *path, int flags, uint32_t mode, struct vfs_file **out);
void vfs_close(struct vfs_file *f);             /* NULL allowed; releases locks */
/* *got < size only at the end of the file. */
NODISCARD err_t vfs_pread(struct vfs_file *f, uint64_t offset, void *out, size_t size, size_t *got);
/* Writes all or fails; part may have been written then. */
NODISCARD err_t vfs_pwrite(struct vfs_file *f, uint64_t offset, const void *data, size_t size);
NODISCARD err_t vfs_sync(struct vfs_file *f);   /* fdatasync */
/* Hands written bytes to the device and waits till it took them. Not durable: for that, sync. */
NODISCARD err_t vfs_flush(struct vfs_file *f, uint64_t offset, uint64_t size);
NODISCARD err_t vfs_truncate(struct vfs_file *f, uint64_t size);
/* fallocate(mode 0) to size, extending the file with zeros; falls back to truncate upwards on ENOTSUP/EINTR. */
NODISCARD err_t vfs_allocate(struct vfs_file *f, uint64_t size);
NODISCARD err_t vfs_size(struct vfs_file *f, uint64_t *out);
/* Does not wait: ERR_LOCKED. Held until close. */
NODISCARD err_t vfs_lock(struct vfs_file *f, enum vfs_lock_kind kind);
/* A shared read-only mapping from offset 0 that may reach far beyond the file's end, so that growth never
 * moves it. reserve is halved until the kernel grants it; *reserved says how much. Bytes behind the end must
 * not be touched (SIGBUS). */
NODISCARD err_t vfs_map(struct vfs_file *f, uint64_t reserve, const uint8_t **out, uint64_t *reserved);
void vfs_unmap(struct vfs_file *f, const uint8_t *map, uint64_t reserved);
/* Reads a part of a mapping (whole pages) in, so that it can be looked at without a fault for each page and without the
 * copy that pread makes. False: it cannot be done, or a read failed; pread will tell. */
bool vfs_map_in(struct vfs_file *f, const uint8_t *at, size_t size);
/* The process lets go of that part: it stays in the system's cache. */
void vfs_map_out(struct vfs_file *f, const uint8_t *at, size_t size);
/* Keeps that part (within the file) in memory as long as it is mapped. ERR_MEMORY_LOCK. */
NODISCARD err_t vfs_map_lock(struct vfs_file *f, const uint8_t *at, size_t size);
/* Nobody looks at these bytes before they are written again. The disk in memory spoils them, so that who does look finds
 * out; a real one keeps them. */
void vfs_forget(struct vfs_file *f, uint64_t offset, uint64_t size);
/* Starts one write-and-sync; returns at once, io->done is called when it ended. Several on one file may be
 * under way only if the caller doesn't mind their order. */
void vfs_start(struct vfs_io *io);
/* Of the calling thread, before which it had none; NULL: none any more. */
void vfs_host_set(struct vfs_host *h);
/* The write and the sync, here and now: sets err and sync_ns. Does not call done. */
void vfs_run(struct vfs_io *io);
NODISCARD err_t vfs_rename(struct vfs *fs, const char *from, const char *to);
NODISCARD err_t vfs_remove(struct vfs *fs, const char *path);           /* file or empty directory */
NODISCARD err_t vfs_mkdir(struct vfs *fs, const char *path, uint32_t mode);     /* one level; ERR_EXIST */
NODISCARD err_t vfs_list(struct vfs *fs, const char *path, struct vfs_names *out);
void vfs_names_free(struct vfs_names *names);
NODISCARD err_t vfs_stat(struct vfs *fs, const char *path, struct vfs_stat *out);
NODISCARD err_t vfs_sync_dir(struct vfs *fs, const char *path);

/* Helpers on top. */
bool vfs_exists(struct vfs *fs, const char *path);
NODISCARD err_t vfs_read_file(struct vfs *fs, const char *path, struct buf *out); /* appended, up to out's maximum */
NODISCARD err_t vfs_mkdir_all(struct vfs *fs, const char *path, uint32_t mode);
NODISCARD err_t vfs_remove_all(struct vfs *fs, const char *path);       /* a tree; OK when there is none */
/* Removes files of dir whose name ends in suffix, in order of names, while more than keep are there. lock: only one
 * whose OFD lock is free; the first that is not ends the round. keep 0: nothing. *purged counts, also on failure. */
NODISCARD err_t vfs_purge(struct vfs *fs, const char *dir, const char *suffix, size_t keep, bool lock, size_t *purged);

#endif
