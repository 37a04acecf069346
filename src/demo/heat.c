/* The solver: options, time, steps, the result. See heat.h. */
#include "demo/heat.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { BIN_MS = 100, CHANGE_EVERY = 10 };
enum { TAG_UP = 1, TAG_DOWN, TAG_ROW };
enum { EXIT_USAGE = 2 };

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the checksum is over little-endian doubles");

/* Ends the whole app. */
static void give_up(const char *what, long number) __attribute__((noreturn));
static void give_up(const char *what, long number)
{
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    fprintf(stderr, "heat: rank %d: %s (%ld)\n", rank, what, number);
    MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);
    abort();
}

/* ---- options ---- */

static bool set_number(struct heat_options *options, const char *name, const char *text)
{
    static const struct {
        const char *name;
        size_t offset;
        long min, max;
    } known[] = {{"--nx", offsetof(struct heat_options, nx), 1, 1 << 20},
                 {"--ny", offsetof(struct heat_options, ny), 1, 1 << 20},
                 {"--steps", offsetof(struct heat_options, steps), 0, 1000000000},
                 {"--seed", offsetof(struct heat_options, seed), 0, INT32_MAX}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        char *end = NULL;
        if (strcmp(name, known[i].name) != 0)
            continue;
        long value = text ? strtol(text, &end, 10) : 0;
        if (!text || end == text || *end != '\0' || value < known[i].min || value > known[i].max)
            snprintf(options->error, sizeof(options->error),
                     "%s takes a number from %ld to %ld, not '%.40s'", name, known[i].min,
                     known[i].max, text ? text : "");
        memcpy((char *)options + known[i].offset, &value, sizeof(value));
        return true;
    }
    return false;
}

void heat_read_options(struct heat_options *options, int argc, char **argv)
{
    *options = (struct heat_options){.nx = 512, .ny = 512, .steps = 30000, .seed = 1};
    for (int i = 1; i < argc && !options->error[0]; i++) {
        char name[32];
        const char *equals = strchr(argv[i], '=');
        size_t len = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        snprintf(name, sizeof(name), "%.*s", len < sizeof(name) ? (int)len : 31, argv[i]);
        if (strcmp(name, "--help") == 0) {
            options->help = true;
            return;
        }
        const char *value = equals ? equals + 1 : NULL;
        if (!equals && i + 1 < argc)
            value = argv[++i];
        if (!set_number(options, name, value))
            snprintf(options->error, sizeof(options->error),
                     "unknown option '%.40s'; there are --nx, --ny, --steps and --seed", name);
    }
}

bool heat_is_to_run(struct heat_options *options, int ranks)
{
    if (!options->error[0] && !options->help && options->ny < ranks)
        snprintf(options->error, sizeof(options->error),
                 "--ny %ld is less than the number of ranks, %d", options->ny, ranks);
    return !options->error[0] && !options->help;
}

static void show_help(void)
{
    printf("Usage: weft run -n N heat [--nx N] [--ny N] [--steps N] [--seed N]\n\n"
           "Solves the heat equation on ny rows of nx points by Jacobi's method; ranks share the "
           "rows.\n"
           "Defaults: --nx 512 --ny 512 --steps 30000 --seed 1\n");
}

/* ---- time ---- */

static int64_t wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Notes a step that ends now. What a step took counts from the end of the one before, so a move
 * shows as a long step. */
static void note_step(struct heat *heat)
{
    int64_t now_us = wall_us(), took_us = now_us - heat->step_end_us;
    int64_t start_ms = now_us / 1000 / BIN_MS * BIN_MS;
    heat->step_end_us = now_us;
    struct heat_bin *bin = heat->bins_n > 0 ? &heat->bins[heat->bins_n - 1] : NULL;
    if (!bin || bin->start_ms != start_ms) {
        if (heat->bins_n == HEAT_BINS_MAX) {
            heat->bins_lost++;
            return;
        }
        bin = &heat->bins[heat->bins_n++];
        *bin = (struct heat_bin){.start_ms = start_ms};
    }
    bin->steps++;
    if (took_us > bin->max_step_us)
        bin->max_step_us = took_us;
}

/* ---- the solver ---- */

static long rows_of(const struct heat *heat, int rank)
{
    return heat->options.ny / heat->size + (rank < heat->options.ny % heat->size ? 1 : 0);
}

static double *row(double *grid, const struct heat *heat, long i)
{
    return grid + i * heat->width;
}

static void exchange(struct heat *heat)
{
    MPI_Request requests[4];
    int up = heat->rank > 0 ? heat->rank - 1 : MPI_PROC_NULL;
    int down = heat->rank < heat->size - 1 ? heat->rank + 1 : MPI_PROC_NULL;
    int nx = (int)heat->options.nx;
    MPI_Irecv(row(heat->now, heat, 0) + 1, nx, MPI_DOUBLE, up, TAG_DOWN, MPI_COMM_WORLD,
              &requests[0]);
    MPI_Irecv(row(heat->now, heat, heat->rows + 1) + 1, nx, MPI_DOUBLE, down, TAG_UP,
              MPI_COMM_WORLD, &requests[1]);
    MPI_Isend(row(heat->now, heat, 1) + 1, nx, MPI_DOUBLE, up, TAG_UP, MPI_COMM_WORLD,
              &requests[2]);
    MPI_Isend(row(heat->now, heat, heat->rows) + 1, nx, MPI_DOUBLE, down, TAG_DOWN, MPI_COMM_WORLD,
              &requests[3]);
    MPI_Waitall(4, requests, MPI_STATUSES_IGNORE);
}

static void relax(struct heat *heat)
{
    for (long i = 1; i <= heat->rows; i++) {
        const double *restrict up = row(heat->now, heat, i - 1), *restrict here =
                                                                     row(heat->now, heat, i);
        const double *restrict down = row(heat->now, heat, i + 1);
        double *restrict out = row(heat->next, heat, i);
        for (long j = 1; j <= heat->options.nx; j++)
            out[j] = 0.25 * (((up[j] + down[j]) + here[j - 1]) + here[j + 1]);
    }
}

static double squared_change(const struct heat *heat)
{
    double sum = 0;
    for (long i = 1; i <= heat->rows; i++) {
        const double *before = row(heat->now, heat, i), *after = row(heat->next, heat, i);
        for (long j = 1; j <= heat->options.nx; j++) {
            double difference = after[j] - before[j];
            sum += difference * difference;
        }
    }
    return sum;
}

void heat_step(struct heat *heat)
{
    exchange(heat);
    relax(heat);
    heat->steps++;
    if (heat->steps % CHANGE_EVERY == 0) {
        double mine = squared_change(heat);
        MPI_Allreduce(&mine, &heat->change, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    }
    double *swap = heat->now;
    heat->now = heat->next;
    heat->next = swap;
    note_step(heat);
}

/* ---- the result ---- */

/* At rank 0: the hash of all rows in order, which the other ranks send one by one. */
static void checksum(struct heat *heat, char text_out[17])
{
    size_t bytes = (size_t)heat->options.nx * sizeof(double);
    double *line = heat_alloc(bytes);
    XXH3_state_t *hash = XXH3_createState();
    if (!line || !hash)
        give_up("no memory for a row of bytes", (long)bytes);
    XXH3_64bits_reset(hash);
    for (long i = 1; i <= heat->rows; i++)
        XXH3_64bits_update(hash, row(heat->now, heat, i) + 1, bytes);
    for (int rank = 1; rank < heat->size; rank++)
        for (long i = 0; i < rows_of(heat, rank); i++) {
            MPI_Recv(line, (int)heat->options.nx, MPI_DOUBLE, rank, TAG_ROW, MPI_COMM_WORLD,
                     MPI_STATUS_IGNORE);
            XXH3_64bits_update(hash, line, bytes);
        }
    snprintf(text_out, 17, "%016" PRIx64, (uint64_t)XXH3_64bits_digest(hash));
    XXH3_freeState(hash);
    heat_free(line);
}

static void send_rows(struct heat *heat)
{
    for (long i = 1; i <= heat->rows; i++)
        MPI_Send(row(heat->now, heat, i) + 1, (int)heat->options.nx, MPI_DOUBLE, 0, TAG_ROW,
                 MPI_COMM_WORLD);
}

static void where_am_i(char host_out[MPI_MAX_PROCESSOR_NAME], long *pid_out)
{
    int len;
    MPI_Get_processor_name(host_out, &len);
    *pid_out = (long)getpid();
}

/* One line, written at once. */
static void show_rank(const struct heat *heat)
{
    enum { LINE_MAX_BYTES = 1024 + HEAT_BINS_MAX * 64 };
    char host[MPI_MAX_PROCESSOR_NAME], *line = heat_alloc(LINE_MAX_BYTES);
    long pid;
    size_t at;
    if (!line)
        give_up("no memory for a line of bytes", LINE_MAX_BYTES);
    where_am_i(host, &pid);
    at = (size_t)snprintf(
        line, LINE_MAX_BYTES,
        "heat-rank "
        "{\"rank\":%d,\"host\":\"%s\",\"pid\":%ld,\"start_host\":\"%s\",\"start_pid\":%ld,"
        "\"nonce_start\":\"%s\",\"nonce_end\":\"%016" PRIx64 "\",\"steps\":%ld,\"moves\":%ld,"
        "\"region_touched_bytes\":%" PRIu64 ",\"bins_lost\":%ld,\"bins\":[",
        heat->rank, host, pid, heat->start_host, heat->start_pid, heat->nonce_at_start, heat->nonce,
        heat->steps, heat->moves, heat->region_bytes, heat->bins_lost);
    for (long i = 0; i < heat->bins_n; i++)
        at += (size_t)snprintf(line + at, LINE_MAX_BYTES - at,
                               "%s[%" PRId64 ",%" PRId64 ",%" PRId64 "]", i > 0 ? "," : "",
                               heat->bins[i].start_ms, heat->bins[i].steps,
                               heat->bins[i].max_step_us);
    snprintf(line + at, LINE_MAX_BYTES - at, "]}\n");
    fputs(line, stdout);
    fflush(stdout);
    heat_free(line);
}

static void show_result(struct heat *heat)
{
    char text[17];
    double seconds = MPI_Wtime() - heat->start_s;
    checksum(heat, text);
    printf("heat "
           "{\"nx\":%ld,\"ny\":%ld,\"steps\":%ld,\"seed\":%ld,\"change\":%.17g,\"checksum\":\"%s\","
           "\"seconds\":%.3f}\n",
           heat->options.nx, heat->options.ny, heat->options.steps, heat->options.seed,
           heat->change, text, seconds);
    fflush(stdout);
}

/* ---- beginning and end ---- */

static void draw_nonce(struct heat *heat)
{
    if (getrandom(&heat->nonce, sizeof(heat->nonce), 0) != (ssize_t)sizeof(heat->nonce))
        give_up("no random number", errno);
    snprintf(heat->nonce_at_start, sizeof(heat->nonce_at_start), "%016" PRIx64, heat->nonce);
}

static bool make_grids(struct heat *heat)
{
    size_t bytes;
    heat->rows = rows_of(heat, heat->rank);
    heat->width = heat->options.nx + 2;
    bytes = (size_t)(heat->rows + 2) * (size_t)heat->width * sizeof(double);
    heat->now = heat_alloc(bytes);
    heat->next = heat_alloc(bytes);
    if (!heat->now || !heat->next)
        return false;
    memset(heat->now, 0, bytes);
    memset(heat->next, 0, bytes);
    heat->region_bytes = 2 * bytes + sizeof(*heat);
    for (long j = 0; heat->rank == 0 && j < heat->options.nx; j++)
        heat->now[j + 1] = heat->next[j + 1] = (double)((j * 7 + heat->options.seed) % 101);
    return true;
}

struct heat *heat_begin(const struct heat_options *options)
{
    int rank, size;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    struct heat *heat = heat_alloc(sizeof(*heat));
    if (!heat)
        give_up("no memory for bytes", sizeof(*heat));
    memset(heat, 0, sizeof(*heat));
    heat->options = *options;
    heat->rank = rank;
    heat->size = size;
    if (!make_grids(heat))
        give_up("its part of the grid does not fit into its region (weft run --rank-memory), rows",
                heat->rows);
    draw_nonce(heat);
    where_am_i(heat->start_host, &heat->start_pid);
    printf("heat-start {\"rank\":%d,\"host\":\"%s\",\"pid\":%ld,\"nonce\":\"%s\"}\n", rank,
           heat->start_host, heat->start_pid, heat->nonce_at_start);
    fflush(stdout);
    MPI_Barrier(MPI_COMM_WORLD);
    heat->start_s = MPI_Wtime();
    heat->step_end_us = wall_us();
    return heat;
}

void heat_end(struct heat *heat)
{
    if (heat->rank == 0)
        show_result(heat);
    else
        send_rows(heat);
    show_rank(heat);
    heat_free(heat->now);
    heat_free(heat->next);
    heat_free(heat);
}

int heat_decline(const struct heat_options *options)
{
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 0 && options->help)
        show_help();
    else if (rank == 0)
        fprintf(stderr, "heat: %s\n", options->error);
    fflush(stdout);
    return options->help ? EXIT_SUCCESS : EXIT_USAGE;
}
