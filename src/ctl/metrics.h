/* One number of an endpoint's /metrics. */
#ifndef CTL_METRICS_H
#define CTL_METRICS_H

#include "ctl/ctl_impl.h"

/* False: it could not be read; the reason is put to c->out, as upstream does. */
bool metrics_value(struct ctl *c, const char *endpoint, const char *name, double *out);

#endif
