/* The one list of settings. X(name, kind, default, min, max, choices, doc)
 *
 * kind: TEXT (anything), NUMBER (decimal, min..max), SIZE (bytes, with K, M, G or T, min..max),
 * CHOICE (one of choices, separated by |), INTERNAL (text that the project's own processes hand to
 * each other: known, never shown). */
#ifndef WEFT_BASE_SETTINGS_H
#define WEFT_BASE_SETTINGS_H

#include <stdint.h>

/* clang-format off */
#define WEFT_SETTINGS(X)                                                                                               \
    X(WEFT_LOG, CHOICE, "warn", 0, 0, "error|warn|info|debug", "what is logged to stderr")                             \
    X(WEFT_CONFIG, TEXT, "", 0, 0, "", "file with settings, lines like WEFT_LOG = info (environment only)")            \
    X(WEFT_PORTS, TEXT, "8100-8199", 0, 0, "", "ports that a host may use: first-last")                                \
    X(WEFT_SLOTS, NUMBER, "0", 0, 65535, "", "ranks that a host takes; 0: its usable cores")                           \
    X(WEFT_DATA, TEXT, "auto", 0, 0, "", "transport for data: auto, ofi, ofi:PROVIDER, tcp, zmq, inproc, or a list")            \
    X(WEFT_NET, TEXT, "", 0, 0, "", "where data may travel: interfaces, addresses, ranges (eth1,10.0.0.0/8), best first")   \
    X(WEFT_LANES, NUMBER, "1", 1, 4, "", "data lanes of a process of an app, the same on all hosts")                       \
    X(WEFT_REGISTERED_MAX, SIZE, "256M", 4096, UINT64_C(1) << 50, "",                                                  \
      "memory that a process keeps registered with its network cards for the next use")                                \
    X(WEFT_PROGRESS, TEXT, "thread", 0, 0, "", "who moves data while ranks compute: thread, worker or core:N")         \
    X(WEFT_WORKERS, NUMBER, "0", 0, 1024, "", "threads that run the ranks of a process of an app; 0: its usable cores")   \
    X(WEFT_FUNCTION_SERVER_THREADS, NUMBER, "2", 1, 256, "", "workers of a host's function service")                   \
    X(WEFT_REGISTRY_SERVER_THREADS, NUMBER, "2", 1, 256, "", "workers of the head's registry service")                 \
    X(WEFT_GROUP_SERVER_THREADS, NUMBER, "2", 1, 256, "", "workers of a host's group service")                         \
    X(WEFT_STATE_SERVER_THREADS, NUMBER, "2", 1, 256, "", "workers of a host's state service")                         \
    X(WEFT_STATE_MEMORY, SIZE, "0", 0, UINT64_MAX, "", "bytes of state that a host keeps; 0: a quarter of its memory")  \
    X(WEFT_SNAPSHOT_SERVER_THREADS, NUMBER, "2", 1, 256, "", "workers of a host's snapshot service")                   \
    X(WEFT_SNAPSHOT_MEMORY, SIZE, "0", 0, UINT64_C(1) << 50, "",                                                       \
      "memory for a host's snapshots; 0: an eighth of its memory")                                                     \
    X(WEFT_SNAPSHOT_DIR, TEXT, "", 0, 0, "", "folder where a host stores snapshots in files; empty: it stores none")   \
    X(WEFT_SNAPSHOT_IO, CHOICE, "auto", 0, 0, "auto|io_uring|threads",                                                 \
      "how it reads and writes them; auto: io_uring where that is permitted")                                          \
    X(WEFT_SNAPSHOT_TRACKER, CHOICE, "auto", 0, 0, "auto|pagemap_scan|segv|none",                                      \
      "how written pages are found; auto: the first of these that works")                                              \
    X(WEFT_CPU_FEATURES, TEXT, "", 0, 0, "",                                                                           \
      "what a host tells of its processor: -avx2,... all but these; sse4_2,... these only; empty: all")                \
    X(WEFT_HEARTBEAT_MS, NUMBER, "500", 10, 60000, "", "time between two heartbeats of a host")                        \
    X(WEFT_DEAD_MS, NUMBER, "3000", 50, 600000, "", "silence after which a host counts as dead")                       \
    X(WEFT_STATE_DIR, TEXT, "", 0, 0, "", "folder of the registry log; empty: one under TMPDIR, named by address and port")    \
    X(WEFT_RANK_MEMORY, SIZE, "16G", UINT64_C(1) << 30, UINT64_C(1) << 40, "",                                         \
      "address range of one rank, a power of two")                                                                     \
    X(WEFT_FORK_MEMORY, SIZE, "0", 0, UINT64_C(1) << 50, "",                                                           \
      "memory for copies of what ranks elsewhere fork, per process; 0: a quarter of the machine's")                    \
    X(WEFT_SECURITY, CHOICE, "none", 0, 0, "none|curve", "who may use a host: all who reach it, or who has a key")      \
    X(WEFT_KEYS, TEXT, "", 0, 0, "", "folder of keys for WEFT_SECURITY=curve; empty: ~/.config/weft")                  \
    X(WEFT_CONNECTIONS_MAX, NUMBER, "4096", 1, 1000000, "", "connections that a port takes at a time")                 \
    X(WEFT_TCP_CONGESTION, TEXT, "", 0, 0, "",                                                                         \
      "congestion control of TCP between hosts, by the kernel's name; empty: the system's, but cubic or reno for bbr")  \
    X(WEFT_EVENTS, TEXT, "", 0, 0, "", "file that a host appends its events to, as lines of JSON; %h: the host's name")   \
    X(WEFT_EVENTS_MAX, SIZE, "64M", 65536, UINT64_C(1) << 50, "",                                                      \
      "bytes of that file; then it becomes FILE.1 and a new one begins")                                               \
    X(WEFT_HOST, TEXT, "127.0.0.1", 0, 0, "", "address or url of the weftd that the command line talks to")            \
    X(WEFT_TRAFFIC_MS, NUMBER, "1000", 0, 600000, "",                                                                  \
      "time between two reports of what ranks exchange, while they do; 0: it is not counted")                          \
    X(WEFT_LINK_RATE, SIZE, "500M", 1024, UINT64_C(1) << 50, "",                                                       \
      "bytes per second that a host's link carries: how dear traffic between hosts is")                                \
    X(WEFT_MESSAGE_US, NUMBER, "10", 0, 1000000, "", "how much longer a message takes between hosts than within one")   \
    X(WEFT_MOVES_MAX, NUMBER, "2", 1, 65535, "", "ranks that move to a host at once, and that leave it at once")       \
    X(WEFT_MOVE_DEADLINE_MS, NUMBER, "10000", 100, 3600000, "", "time after which a move that has not committed ends") \
    X(WEFT_PRECOPY, NUMBER, "4", 0, 1000, "",                                                                          \
      "passes over the memory of a rank that moves, at most, that copy it while it runs on; 0: it is copied when it has stopped") \
    X(WEFT_PRECOPY_ABOVE, SIZE, "8M", 0, UINT64_C(1) << 50, "", "ranks with less memory are copied when they have stopped") \
    X(WEFT_TENANT, TEXT, "", 0, 0, "", "whose apps weft run starts, for --policy=compact; empty: the user's name")      \
    X(WEFT_TORTURE_MOVE, NUMBER, "0", 0, 1000000000, "",                                                               \
      "runtime calls of a rank after which weft run has it moved to some host, again and again; 0: never")              \
    X(WEFT_TORTURE_SEED, NUMBER, "1", 0, UINT64_MAX, "", "of the hosts that are drawn for WEFT_TORTURE_MOVE")          \
    X(WEFT_FREEZE_DEADLINE_MS, NUMBER, "600000", 1000, 86400000, "",                                                   \
      "time after which a freeze or thaw whose memory is not stored or loaded ends")                                   \
    X(WEFT_RANK_LINE, INTERNAL, "", 0, 0, "", "the line of a rank that is a process of its own")
/* clang-format on */

#endif
