/* Inside env: the mappings whose faults can be told. */
#ifndef ENV_SIGBUS_H
#define ENV_SIGBUS_H

#include <stdint.h>

/* Any thread. fd: the mapped file. Mappings beyond SIGBUS_MAPS_MAX are not noted. */
void sigbus_map(const uint8_t *map, uint64_t size, int fd);
void sigbus_unmap(const uint8_t *map);
/* The process lets go of all pages that it has looked at in them; they stay in the system's cache. */
void sigbus_maps_let_go(void);

#endif
