#include "bolt/impl.h"
void move_fini(struct bolt *db)
{
}
