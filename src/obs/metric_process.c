/* The process_* readings, from /proc. What cannot be read stays as it was. */
#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "obs/metric_impl.h"

static size_t read_text(const char *path, char *out, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(out, 1, size - 1, f) : 0;

	if (f)
		fclose(f);
	out[n] = '\0';
	return n;
}

/* Field n (1-based, as in proc(5)) of /proc/self/stat; fields 1 and 2 end with the last ')'. */
static unsigned long long stat_field(const char *stat, int n)
{
	const char *p = strrchr(stat, ')');

	for (int i = 2; p && i < n; i++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	return p ? strtoull(p, NULL, 10) : 0;
}

static double boot_time_s(void)
{
	char text[65536];
	const char *p;

	read_text("/proc/stat", text, sizeof(text));
	p = strstr(text, "\nbtime ");
	return p ? (double)strtoull(p + 7, NULL, 10) : 0;
}

static void read_stat(void)
{
	double ticks = (double)sysconf(_SC_CLK_TCK);
	char text[4096];

	if (!read_text("/proc/self/stat", text, sizeof(text)))
		return;
	metric_set(METRIC_PROCESS_CPU_SECONDS_TOTAL, (double)(stat_field(text, 14) + stat_field(text, 15)) / ticks);
	metric_set(METRIC_PROCESS_START_TIME_SECONDS, boot_time_s() + (double)stat_field(text, 22) / ticks);
	metric_set(METRIC_PROCESS_VIRTUAL_MEMORY_BYTES, (double)stat_field(text, 23));
	metric_set(METRIC_PROCESS_RESIDENT_MEMORY_BYTES, (double)stat_field(text, 24) * (double)sysconf(_SC_PAGESIZE));
}

static void read_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	double n = -3;                  /* ".", ".." and the directory's own descriptor */

	if (!d)
		return;
	while (readdir(d))
		n++;
	closedir(d);
	metric_set(METRIC_PROCESS_OPEN_FDS, n);
	metric_set(METRIC_OS_FD_USED, n);
}

/* The value under `name` in the pair of lines "IpExt: names" and "IpExt: values". */
static bool netstat_value(const char *text, const char *name, double *out)
{
	const char *names = strstr(text, "IpExt: "), *values = names ? strstr(names + 1, "\nIpExt: ") : NULL;

	for (values = values ? values + 1 : NULL; values && *names != '\n'; ) {
		size_t n = strcspn(names, " \n"), m = strcspn(values, " \n");

		if (n == strlen(name) && !memcmp(names, name, n)) {
			*out = (double)strtoull(values, NULL, 10);
			return true;
		}
		names += n + (names[n] == ' ');
		values += m + (values[m] == ' ');
	}
	return false;
}

static void read_network(void)
{
	char text[16384];
	double v;

	read_text("/proc/self/net/netstat", text, sizeof(text));
	if (netstat_value(text, "InOctets", &v))
		metric_set(METRIC_PROCESS_NETWORK_RECEIVE_BYTES_TOTAL, v);
	if (netstat_value(text, "OutOctets", &v))
		metric_set(METRIC_PROCESS_NETWORK_TRANSMIT_BYTES_TOTAL, v);
}

static void read_limit(int resource, uint32_t series)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) == 0)
		metric_set(series, (double)limit.rlim_cur);
}

void metric_read_process(void)
{
	read_stat();
	read_fds();
	read_network();
	read_limit(RLIMIT_NOFILE, METRIC_PROCESS_MAX_FDS);
	read_limit(RLIMIT_NOFILE, METRIC_OS_FD_LIMIT);
	read_limit(RLIMIT_AS, METRIC_PROCESS_VIRTUAL_MEMORY_MAX_BYTES);
}
