/* How generated structs hold values, shared by pbc.c and json_emit.c. */
#ifndef PB_PBC_INL_H
#define PB_PBC_INL_H

#include "pb/pbc.h"

/* Size of one value of f, as member and as element of a repeated field. */
size_t pb_element_size(const ProtobufCFieldDescriptor *f);

#endif
