/* Moves by hand, as weft reports them: the pause is from the moment the rank stands to the moment
 * it runs again. */
#include "mover.h"

#include <stdio.h>
#include <string.h>

#include "weft/error.h"

void bench_mover_start(const struct bench_hosts *hosts, struct bench_mover *mover,
                       const char *program, unsigned mib, bool precopy)
{
    char size[16];
    snprintf(size, sizeof(size), "%u", mib);
    bench_app_start(hosts, &mover->app,
                    (const char *[]){"-x",
                                     precopy ? "WEFT_PRECOPY_ABOVE=0" : "WEFT_PRECOPY_ABOVE=1T",
                                     program, size, NULL});
    bench_app_await(&mover->app, "ready");
}

void bench_mover_move(const struct bench_hosts *hosts, struct bench_mover *mover, bool counts)
{
    unsigned to = (mover->at + 1) % BENCH_HOSTS;
    json_t *moves = bench_weft(hosts, "migrate",
                               (const char *[]){mover->app.id, "0", bench_host_names[to], NULL});
    json_t *done = json_array_get(moves, 0);
    const char *outcome = json_string_value(json_object_get(done, "outcome"));
    if (!outcome || strcmp(outcome, "moved") != 0) {
        const char *reason = json_string_value(json_object_get(done, "reason"));
        fprintf(stderr, "bench: the rank did not move to %s: %s\n", bench_host_names[to],
                reason ? reason : "no reason given");
        bench_die("move a rank", WEFT_EAPP);
    }
    mover->at = to;
    double pause = json_number_value(json_object_get(done, "pause_ms"));
    double committed = json_number_value(json_object_get(done, "committed_ms"));
    if (counts) {
        bench_add(&mover->pause, pause);
        bench_add(&mover->whole,
                  committed - json_number_value(json_object_get(done, "detected_ms")));
    }
    mover->bytes = (double)json_integer_value(json_object_get(done, "bytes"));
    mover->copied = (double)json_integer_value(json_object_get(done, "copied_bytes"));
    const char *transport = json_string_value(json_object_get(done, "transport"));
    snprintf(mover->pause.config, sizeof(mover->pause.config),
             "three weftd on loopback, weft migrate, %.0f bytes pulled by %s, %.0f before",
             mover->bytes, transport ? transport : "?", mover->copied);
    snprintf(mover->whole.config, sizeof(mover->whole.config), "%s", mover->pause.config);
    json_decref(moves);
}
