/* A host's snapshot service behind a control server, and a client of it, over the data transport
 * that host_scheme names. */
#ifndef WEFT_TESTS_SNAPSHOT_HOST_SCENE_H
#define WEFT_TESTS_SNAPSHOT_HOST_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot/client.h"
#include "snapshot/service.h"
#include "transport/spi.h"

enum { HOST_CALL_MS = 60000 };

extern const char *host_scheme;  /* "inproc" unless the command line says so */
extern const char *host_address; /* of its lanes: "127.0.0.1" unless it says so; inproc has none */
extern const struct weft_transport *const host_transports[];
extern const size_t host_transports_n;

struct host {
    struct weft_data *data;
    struct weft_snapshot_service *service;
    struct weft_server *server; /* NULL: closed */
    char url[64], async_url[64];
};

/* folder: for files, or NULL. */
void host_open(struct host *host, uint64_t memory_max, const char *folder);
void host_close(struct host *host);

struct asker {
    struct weft_client *client;
    struct weft_snapshots *snapshots;
};

void asker_open(struct asker *asker);
void asker_close(struct asker *asker);

/* A data lane's owner of this cluster, beside the host's; name: for inproc. */
void lane_owner_open(const char *name, struct weft_data **data_out);
/* Whether the scheme can be had here; says so where it cannot. */
bool host_scheme_is_here(void);

#endif
