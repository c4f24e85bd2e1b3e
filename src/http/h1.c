#include "http/http_impl.h"
void h1_start(struct http_conn *c)
{
	c->over = true;
}
