/* All that a log says, record by record, for tools. */
#include <inttypes.h>
#include <stdio.h>

#include "pb/wire.h"
#include "wal/reader.h"

static err_t malformed(const struct wal_record *rec, struct why *why, const char *what)
{
	return why_set(why, ERR_CORRUPT_FILE, "wal: malformed %s record: in file '%s' at position: %" PRIu64, what,
		       rec->file, rec->offset);
}

static bool metadata_parse(struct slice s, struct wal_metadata *out)
{
	struct pb_reader p = pb_reader_of(s);
	struct pb_field f;

	while (pb_next(&p, &f)) {
		if (f.number == 1 && f.wire == PB_VARINT)
			out->node_id = f.value;
		else if (f.number == 2 && f.wire == PB_VARINT)
			out->cluster_id = f.value;
	}
	return !p.failed;
}

static err_t show(const struct wal_record *rec, wal_scan_fn *fn, void *arg, struct why *why)
{
	struct wal_scanned s = {.file = rec->file, .offset = rec->offset};
	err_t err;

	switch (rec->type) {
	case WAL_CRC:
		return OK; /* the reader's */
	case WAL_METADATA:
		s.kind = WAL_SCAN_METADATA;
		return metadata_parse(rec->data, &s.metadata) ? fn(arg, &s) : malformed(rec, why, "metadata");
	case WAL_STATE:
		s.kind = WAL_SCAN_STATE;
		return raft_hard_state_decode(rec->data, &s.state) ? malformed(rec, why, "state") : fn(arg, &s);
	case WAL_ENTRY:
		s.kind = WAL_SCAN_ENTRY;
		if (raft_entry_decode(rec->data, &s.entry))
			return malformed(rec, why, "entry");
		err = fn(arg, &s);
		raft_entry_fini(&s.entry);
		return err;
	case WAL_SNAPSHOT:
		s.kind = WAL_SCAN_MARK;
		if (wal_snapshot_mark_decode(rec->data, &s.mark))
			return malformed(rec, why, "snapshot");
		err = fn(arg, &s);
		wal_snapshot_mark_fini(&s.mark);
		return err;
	}
	return why_set(why, ERR_CORRUPT_FILE, "unexpected block type %" PRId64 ": in file '%s' at position: %" PRIu64,
		       (int64_t)rec->type, rec->file, rec->offset);
}

static void end_set(const struct wal_names *names, size_t file, uint64_t offset, struct wal_scan_end *end)
{
	*end = (struct wal_scan_end){.file_count = names->count, .file = file, .offset = offset};
	snprintf(end->name, sizeof(end->name), "%s", names->at[file].text);
	if (file + 1 < names->count)
		end->later_index = names->at[file + 1].index;
}

static err_t no_gaps(const struct wal_names *names, size_t first, struct why *why)
{
	for (size_t i = first + 1; i < names->count; i++)
		if (names->at[i].seq != names->at[i - 1].seq + 1)
			return why_set(why, ERR_CORRUPT_FILE, "wal: a segment is missing between '%s' and '%s'",
				       names->at[i - 1].text, names->at[i].text);
	return OK;
}

static err_t scan(struct wal_reader *r, size_t first, wal_scan_fn *fn, void *arg, struct why *why,
		  const struct wal_names *names, struct wal_scan_end *end)
{
	struct wal_record rec;
	bool more = true;
	err_t err = OK;

	while (!err && more) {
		err = wal_reader_next(r, why, &rec, &more);
		end_set(names, first + r->now, r->offset, end);
		if (!err && more)
			err = show(&rec, fn, arg, why);
	}
	return err;
}

err_t wal_scan(struct vfs *fs, const char *dir, size_t first, wal_scan_fn *fn, void *arg, struct why *why,
	       struct wal_scan_end *end)
{
	struct wal_options options = {0};
	struct wal_names names;
	struct wal_reader r;
	err_t err = wal_names_list(fs, dir, &options, why, &names);

	if (err)
		return err;
	if (first < names.count) {
		end_set(&names, first, 0, end);
		err = no_gaps(&names, first, why);
		if (!err) {
			wal_reader_init(&r, fs, dir, names.at + first, NULL, names.count - first);
			err = scan(&r, first, fn, arg, why, &names, end);
			wal_reader_fini(&r);
		}
	} else {
		err = why_set(why, ERR_NOT_EXIST, "wal: no segment behind");
	}
	mem_free(names.at);
	return err;
}
