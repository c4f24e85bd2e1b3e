/* Feature gates: "Name=true,Other=false". */

#include "base/text.h"
#include "server/config_impl.h"

static const struct {
	const char *name;
	bool preset;
	const char *stage;
} gates[GATE__COUNT] = {
#define GATE(symbol, ...) {__VA_ARGS__},
#include "server/gate_rows.h"
#undef GATE
};

const char *gate_name(enum gate g)
{
	return gates[g].name;
}

const char *gate_stage(enum gate g)
{
	return gates[g].stage;
}

static uint32_t gates_on_by_themselves(void)
{
	uint32_t on = 0;

	for (int g = 0; g < GATE__COUNT; g++)
		on |= (uint32_t)gates[g].preset << g;
	return on;
}

/* One item, its blanks already counted in; *set and *on get the gate's bit. */
static err_t read_item(struct slice item, uint32_t *set, uint32_t *on, struct why *why)
{
	const uint8_t *eq = memchr(item.data, '=', item.size);
	struct slice name = slice_trim(eq ? slice_of(item.data, (size_t)(eq - item.data)) : item), value;
	char text[8];
	bool v;
	int g = 0;

	if (!eq)
		return why_set(why, ERR_INVALID, "missing bool value for %.*s", SLICE_ARG(name));
	value = slice_trim(slice_of(eq + 1, (size_t)(item.data + item.size - eq - 1)));
	memcpy(text, value.data, MIN(value.size, sizeof(text) - 1));
	text[MIN(value.size, sizeof(text) - 1)] = '\0';
	if (value.size >= sizeof(text) || !text_parse_bool(text, &v))
		return why_set(why, ERR_INVALID,
			       "invalid value of %.*s=%.*s, err: strconv.ParseBool: parsing \"%.*s\": invalid syntax",
			       SLICE_ARG(name), SLICE_ARG(value), SLICE_ARG(value));
	while (g < GATE__COUNT && !slice_eq(slice_str(gates[g].name), name))
		g++;
	if (g == GATE__COUNT)
		return why_set(why, ERR_INVALID, "unrecognized feature gate: %.*s", SLICE_ARG(name));
	*set |= 1u << g;
	*on = (*on & ~(1u << g)) | (uint32_t)v << g;
	return OK;
}

/* AllAlpha and AllBeta reach the gates of their stage that nobody named. */
static void spread(struct gate_set *g, enum gate all)
{
	if (!(g->given >> all & 1))
		return;
	for (int i = 0; i < GATE__COUNT; i++) {
		if (i != GATE_ALL_ALPHA && i != GATE_ALL_BETA && !(g->given >> i & 1) &&
		    !strcmp(gates[i].stage, gates[all].stage))
			g->on = (g->on & ~(1u << i)) | (g->on >> all & 1) << i;
	}
}

err_t gates_set(struct gate_set *g, const char *text, struct why *why)
{
	struct gate_set next = *g;

	if (!next.given)
		next.on = gates_on_by_themselves();
	while (*text) {
		size_t n = strcspn(text, ",");
		err_t err = n ? read_item(slice_of(text, n), &next.given, &next.on, why) : OK;

		if (err)
			return err;
		text += n + (text[n] == ',');
	}
	spread(&next, GATE_ALL_ALPHA);
	spread(&next, GATE_ALL_BETA);
	*g = next;
	return OK;
}
