/* Events: what happens on a cluster, as every host keeps it and tells it.
 *
 * `weft events --json`, and the file of WEFT_EVENTS, give one JSON object per line:
 *
 *   {"v":1,"time_ns":N,"mono_ns":N,"host":"a","app":"3f0c","rank":2,"kind":"move_frozen",...}
 *
 * v        WEFT_EVENT_VERSION. A new kind, or a new field of a kind, does not raise it.
 * time_ns  when it happened, nanoseconds since 1970, UTC, by the clock of the host;
 * mono_ns  the same by the monotonic clock of the host's machine: for differences on one machine
 * host     whose event it is; processes of apps tell theirs to the host that they run on
 * app      the id of the app, in hexadecimal, as weft apps prints it; null: of no app
 * rank     null: of no rank
 * kind     one of the names below, followed by the fields of that kind: numbers first, then texts.
 *          What ends in _ns is a time in nanoseconds; took_ns: how long that lasted which ends with
 *          this event; move: the number of the move, counted by app; host names: from, to, peer.
 *          Numbers are not negative, but for the code that an app has ended with
 *
 * Texts are cut where the fields of an event are longer than WEFT_EVENT_TEXT_MAX in all; bytes that
 * are no UTF-8 become U+FFFD. */
#ifndef WEFT_EVENT_H
#define WEFT_EVENT_H

#define WEFT_EVENT_VERSION 1
#define WEFT_EVENT_NUMBERS_MAX 6
#define WEFT_EVENT_TEXTS_MAX 3
#define WEFT_EVENT_TEXT_MAX 168

/* X(KIND, name, numbers, texts, what): names of fields, separated by commas. */
/* clang-format off */
#define WEFT_EVENTS(X)                                                                             \
    X(EVENTS_LOST, "events_lost", "lost", "", "a process of the app could not keep so many")       \
    /* by the app's home */                                                                        \
    X(APP_STARTED, "app_started", "ranks,processes,took_ns", "program,policy", "its ranks run")    \
    X(APP_ENDED, "app_ended", "code,took_ns,moves", "result,reason",                               \
      "everything of it is gone; result: WEFT_OK, or the name of the error")                       \
    X(RANK_PLACED, "rank_placed", "ranks,process,pid", "to",                                    \
      "at the start of the app; ranks: so many from that one on")                  \
    X(PLAN_FOUND, "plan_found", "moves,gain_ns,cost_ns", "cause", "and is carried out")            \
    X(PLAN_REFUSED, "plan_refused", "moves,gain_ns,cost_ns", "verdict,cause",                      \
      "a better placement is not worth it, or not yet; told when the verdict changes")             \
    X(MOVE_ASKED, "move_asked", "move", "from,to,cause", "the move of a rank begins")              \
    X(MOVE_PRECOPIED, "move_precopied", "move,took_ns,bytes,passes", "from,to",                    \
      "so much of its memory while it ran, in so many passes; it is asked to stop, or stays")      \
    X(MOVE_ABORTED, "move_aborted", "move,took_ns", "to,error,reason", "it goes on where it was")  \
    X(MOVE_DONE, "move_done", "move,took_ns,bytes,forwarded,pause_ns", "from,to,transport",        \
      "nothing of the move is left on the host that the rank came from")                           \
    /* by the processes that the rank leaves and comes to */                                       \
    X(MOVE_PREPARED, "move_prepared", "move,took_ns", "", "there is room for it where it goes")    \
    X(MOVE_FROZEN, "move_frozen", "move,took_ns", "", "it has stopped; took: until it did")        \
    X(MOVE_COPIED, "move_copied", "move,took_ns,bytes,touched_bytes", "transport",                 \
      "its memory is there; bytes: over the wire")                                                 \
    X(MOVE_COMMITTED, "move_committed", "move,took_ns,incarnation", "",                            \
      "the registry says so: it is there now")                                                     \
    X(MOVE_RESUMED, "move_resumed", "move,pause_ns", "", "it runs there; pause: since it stopped") \
    X(MOVE_FLUSHED, "move_flushed", "move,took_ns,forwarded", "",                                  \
      "no packet for it comes to the old place any more; took: since it was told to forward")      \
    /* by the app's home: it is written to the store, and comes back */                            \
    X(FREEZE_ASKED, "freeze_asked", "", "cause", "")                                               \
    X(APP_FROZEN, "app_frozen", "bytes", "cause", "it is in the store, and has no process")        \
    X(FREEZE_ABORTED, "freeze_aborted", "", "reason", "it runs on")                                \
    X(APP_THAWED, "app_thawed", "", "", "it runs again")                                           \
    X(THAW_ABORTED, "thaw_aborted", "", "reason", "it stays in the store")                         \
    /* by the host whose slots they are */                                                         \
    X(LEASE_GRANTED, "lease_granted", "slots,used,of", "", "of: slots that the host has")          \
    X(LEASE_REFUSED, "lease_refused", "slots,used,of", "error", "")                                \
    X(LEASE_RELEASED, "lease_released", "slots,used,of", "", "")                                   \
    X(LEASE_EXPIRED, "lease_expired", "slots,used,of", "", "reserved, and never taken")            \
    /* by the host that keeps the registry */                                                      \
    X(HOST_JOINED, "host_joined", "slots", "peer,address", "")                                     \
    X(HOST_LEFT, "host_left", "", "peer", "")                                                      \
    X(HOST_DEAD, "host_dead", "", "peer", "it has not been heard for too long")                    \
    X(HOST_DRAINING, "host_draining", "", "peer", "takes no ranks any more, and moves them away")  \
    X(HOST_UNDRAINED, "host_undrained", "", "peer", "takes ranks again")                           \
    /* by each host */                                                                             \
    X(REGISTRY_EPOCH, "registry_epoch", "epoch,before", "", "the registry was started anew")       \
    /* by the processes of an app that is run with --trace: packets around a move */               \
    X(MESSAGE_SENT, "message_sent", "peer_rank,sequence,bytes", "", "peer_rank: the receiver")     \
    X(MESSAGE_RECEIVED, "message_received", "peer_rank,sequence,bytes", "", "by the rank")         \
    X(MESSAGE_HELD, "message_held", "peer_rank,sequence,bytes", "", "waits for its turn, or rank") \
    X(MESSAGE_FORWARDED, "message_forwarded", "peer_rank,sequence,bytes", "",                      \
      "it came where the rank had been")                                                           \
    /* by processes of apps, and by hosts */                                                       \
    X(PATH_LOST, "path_lost", "", "peer,reason",                                                   \
      "the connection for data to that address broke; it is made anew when it is needed")          \
    X(PATH_CHANGED, "path_changed", "", "from,to", "data to a peer goes another way from now on")
/* clang-format on */

enum weft_event_kind {
    WEFT_EVENT_NOTHING,
#define X(kind, name, numbers, texts, what) WEFT_EVENT_##kind,
    WEFT_EVENTS(X)
#undef X
        WEFT_EVENT_KINDS
};

#endif
