/* A server and a client of libweft, seen as any program sees them: public headers only. */
#ifndef TESTS_UNIT_CONTROL_PARTY_H
#define TESTS_UNIT_CONTROL_PARTY_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <weft/client.h>
#include <weft/service.h>

#define PARTY_TEXT 64
#define PARTY_TIMEOUT_MS 60000

struct party {
    struct weft_server *server;
    struct weft_client *client;
    char url[64]; /* of the sync port */
    char async_url[64];
};

void party_open(struct party *party, const struct weft_service_options *service);
void party_close(struct party *party);
struct weft_service_stats party_stats(const struct party *party);
/* A request with a text, which is awaited; the answer's text in text_out (may be NULL). */
int party_ask(const struct party *party, struct weft_client *client, uint16_t code,
              const char *text, char text_out[PARTY_TEXT]);

/* The end of a request that was started. */
struct party_answer {
    _Atomic int over;
    int err;
    uint32_t retry_ms;
    struct weft_client_ticket ticket;
    char text[PARTY_TEXT]; /* of the answer, or of the error */
};
int party_start(const struct party *party, uint16_t code, const char *text, uint32_t timeout_ms,
                struct party_answer *answer);

/* Waits for something that must come to be; false: it did not, in a time that only a hang reaches.
 */
#define PARTY_UNTIL(condition)                                                                     \
    __extension__({                                                                                \
        time_t party_limit = time(NULL) + 90;                                                      \
        while (!(condition) && time(NULL) < party_limit)                                           \
            sched_yield();                                                                         \
        (condition);                                                                               \
    })

#endif
