/* What other members ask of this one beside raft (spec peer.md section 8): the list of members, a promotion, hashes, leases that only
 * the leader knows, versions. Decoded requests in, status and body out; the carrier (src/peer, the simulator) does HTTP.
 *
 *	api_member_request(io, r);              r->answer is called exactly once, at once or later, on this io actor
 *
 * Thread: the io's actor. Only TLS authenticates who asks; a promotion also carries the token of the client.
 * Limits: API_MEMBER_REQUESTS_MAX at a time on each io, further ones are answered 503; a request ends after the server's time limit
 * at the latest. api_io_idle counts them; api_io_stop lets those at core come back with an error. */
#ifndef API_MEMBERS_H
#define API_MEMBERS_H

#include "api/api.h"

#define API_MEMBER_REQUESTS_MAX 1024

void api_member_request(struct api_io *io, struct member_request *take_r);

#endif
