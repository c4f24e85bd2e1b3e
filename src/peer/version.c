/* Versions in headers: only major.minor counts. (etcd: rafthttp/util.go checkVersionCompatibility and
 * stream.go supportedStream, v3.7.1.) */
#include <stdio.h>

#include "peer/peer_impl.h"

bool minor_version_parse(struct slice s, struct minor_version *out)
{
	unsigned v[3] = {0};
	unsigned part = 0;
	size_t digits = 0;

	for (size_t i = 0; i <= s.size; i++) {
		bool digit = i < s.size && s.data[i] >= '0' && s.data[i] <= '9';

		if (digit && digits < 6) {
			v[part] = v[part] * 10 + (unsigned)(s.data[i] - '0');
			digits++;
		} else if (digit || digits == 0) {
			return false;
		} else if (part == 2) {
			*out = (struct minor_version){v[0], v[1]};
			return i == s.size || s.data[i] == '-' || s.data[i] == '+';
		} else if (i == s.size || s.data[i] != '.') {
			return false;
		} else {
			part++;
			digits = 0;
		}
	}
	return false;
}

int minor_version_cmp(struct minor_version a, struct minor_version b)
{
	if (a.major != b.major)
		return a.major < b.major ? -1 : 1;
	return (a.minor > b.minor) - (a.minor < b.minor);
}

bool version_accepts(struct minor_version own, struct minor_version server, struct minor_version min_cluster)
{
	static const struct minor_version own_min_cluster = {3, 0};

	return minor_version_cmp(server, own_min_cluster) >= 0 && minor_version_cmp(min_cluster, own) <= 0;
}

bool version_has_streams(struct minor_version own, struct minor_version server)
{
	if (minor_version_cmp(server, own) >= 0)
		return true;
	return (server.major == 2 && server.minor >= 1 && server.minor <= 3) || (server.major == 3 && server.minor <= 7);
}
