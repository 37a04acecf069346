#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "cell/stack.h"
#include "cell/system.h"
#include "cell/trap.h"
#include "weft/error.h"

#define BASE UINT64_C(0x200000000000)
#define STRIDE (UINT64_C(1) << 30)
enum { STACK = 8 << 20 };

/* A program in a range of its own, on this thread. */
struct cell {
    struct weft_region region;
    struct weft__system_state *state;
    struct weft__system system;
    struct weft__gate gate;
    struct weft__elf elf;
    int killed;
    unsigned clock_calls; /* to read a clock, that have been trapped */
    struct weft__trap_fault fault;
};

static void open_cell(struct cell *cell, const char *path)
{
    struct stat status;
    memset(cell, 0, sizeof(*cell));
    cell->state = calloc(1, sizeof(*cell->state));
    assert_non_null(cell->state);
    assert_int_equal(weft__region_init(&cell->region, "cell", (void *)(uintptr_t)BASE, STRIDE),
                     WEFT_OK);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_ptr_not_equal(bytes, MAP_FAILED);
    const struct weft__elf_file file = {
        .name = path, .advice = "", .bytes = bytes, .len_bytes = (size_t)status.st_size};
    assert_int_equal(weft__elf_read(&file, &cell->elf), WEFT_OK);
    munmap(bytes, (size_t)status.st_size);
    cell->system.space = (struct weft__space_host){.region = &cell->region, .program = fd};
    const struct weft__space_desc desc = {.begin = BASE,
                                          .end = BASE + STRIDE,
                                          .stack_bytes = STACK,
                                          .clock = (uint64_t)(uintptr_t)&cell->state->clock,
                                          .linker = cell->elf.interpreter[0] ? cell->elf.interpreter
                                                                             : NULL};
    assert_int_equal(weft__space_init(&cell->system.space, &desc, &cell->elf), WEFT_OK);
    assert_int_equal(weft__system_begin(&cell->system, cell->state), WEFT_OK);
}

static void close_cell(struct cell *cell)
{
    weft__system_fini(&cell->system);
    free(cell->state);
    close(cell->system.space.program);
    weft__region_fini(&cell->region);
}

static void on_fault(void *ctx, struct weft__trap_fault *fault)
{
    struct weft__system *system = ctx;
    struct cell *cell = system->ctx;
    fault->result = 128 + fault->signal;
    cell->fault = *fault;
    if (weft__signals_fault(&cell->state->signals, &system->space, fault))
        memset(&cell->fault, 0, sizeof(cell->fault));
}

static void on_call(void *ctx, struct weft__trap_call *call)
{
    struct weft__system *system = ctx;
    struct cell *cell = system->ctx;
    cell->clock_calls += call->number == SYS_clock_gettime || call->number == SYS_gettimeofday ||
                         call->number == SYS_time || call->number == SYS_getcpu;
    weft__system_call(system, call);
}

static void on_killed(void *ctx, int signal)
{
    struct cell *cell = ctx;
    cell->killed = signal;
}

static uint64_t build_stack(struct cell *cell, char *const *argv)
{
    static char *const environment[] = {"GREETING=hello", NULL};
    const struct weft__space *space = cell->system.space.space;
    const struct weft__stack_aux aux[] = {{AT_PHDR, space->origin + cell->elf.headers},
                                          {AT_PHNUM, cell->elf.headers_n},
                                          {AT_PHENT, sizeof(Elf64_Phdr)},
                                          {AT_PAGESZ, 4096},
                                          {AT_BASE, space->linker},
                                          {AT_ENTRY, space->origin + cell->elf.entry},
                                          {AT_SYSINFO_EHDR, space->vdso},
                                          {AT_HWCAP, getauxval(AT_HWCAP)},
                                          {AT_HWCAP2, getauxval(AT_HWCAP2)}};
    const struct weft__stack_desc desc = {.bottom = (void *)(uintptr_t)space->stack_begin,
                                          .top = (void *)(uintptr_t)space->stack_end,
                                          .argv = argv,
                                          .envp = environment,
                                          .aux = aux,
                                          .aux_n = sizeof(aux) / sizeof(aux[0]),
                                          .path = argv[0],
                                          .random = (const unsigned char *)"0123456789abcdef"};
    uint64_t *sp = NULL;
    assert_int_equal(weft__stack_build(&desc, &sp), WEFT_OK);
    return (uint64_t)(uintptr_t)sp;
}

/* Runs to the end; what it prints goes to *output. */
static int64_t run(struct cell *cell, char *const *argv, char output[256])
{
    int pipe_fds[2], kept = dup(1);
    fflush(stdout);
    assert_int_equal(pipe(pipe_fds), 0);
    dup2(pipe_fds[1], 1);
    cell->system.killed = on_killed;
    cell->system.ctx = cell;
    cell->gate.frame = &cell->system.space.space->frame;
    uint64_t sp = build_stack(cell, argv);
    const struct weft__trap_desc desc = {.gate = &cell->gate,
                                         .end = BASE + STRIDE,
                                         .call = on_call,
                                         .fault = on_fault,
                                         .ctx = &cell->system};
    struct weft__trap *trap = NULL;
    int err = weft__trap_arm(&desc, &trap);
    int64_t code = -1;
    if (!err) {
        code = weft__gate_run(&cell->gate, sp, cell->system.space.space->entry);
        weft__trap_disarm(trap);
    }
    dup2(kept, 1);
    close(kept);
    close(pipe_fds[1]);
    ssize_t n = read(pipe_fds[0], output, 255);
    close(pipe_fds[0]);
    assert_true(n >= 0);
    output[n] = '\0';
    assert_int_equal(err, WEFT_OK);
    return code;
}

static void an_ordinary_program_runs_to_its_end(void **state)
{
    (void)state;
    struct cell cell;
    char output[256], *argv[] = {"hello", "big world", "2", NULL};
    open_cell(&cell, PROGRAMS "/hello");
    assert_int_equal(run(&cell, argv, output), 42);
    assert_string_equal(output, "3 big world hello 8 12 1.414\n");
    assert_int_equal(cell.killed, 0);
    assert_int_equal(weft__fds_count(&cell.state->files), 3);
    close_cell(&cell);
}

static void programs_that_run_after_one_another_do_not_meet(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        an_ordinary_program_runs_to_its_end(state);
}

static void clocks_are_the_rank_s_and_are_read_without_a_system_call(void **state)
{
    (void)state;
    struct cell cell;
    struct timespec now;
    char output[256], *argv[] = {"clocks", NULL};
    long monotonic = 0, raw = 0, boot = 0;
    open_cell(&cell, PROGRAMS "/clocks");
    cell.state->clock.shifts[CLOCK_MONOTONIC] = (struct weft__clock_shift){1000000, 999999999};
    cell.state->clock.shifts[CLOCK_MONOTONIC_RAW] = (struct weft__clock_shift){2000000, 0};
    cell.state->clock.shifts[CLOCK_BOOTTIME] = (struct weft__clock_shift){3000000, 1};
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    assert_int_equal(run(&cell, argv, output), 0);
    assert_int_equal(sscanf(output, "%ld %ld %ld", &monotonic, &raw, &boot), 3);
    assert_in_range(monotonic, now.tv_sec + 1000000, now.tv_sec + 1000600);
    assert_in_range(raw, now.tv_sec + 1999000, now.tv_sec + 2001000);
    assert_true(boot >= now.tv_sec + 3000000);
    assert_int_equal(cell.clock_calls, 1); /* of a clock that there is not */
    close_cell(&cell);
}

static int64_t end(struct cell *cell, char *how)
{
    char output[256], *argv[] = {"ends", how, NULL};
    open_cell(cell, PROGRAMS "/ends");
    int64_t code = run(cell, argv, output);
    close_cell(cell);
    return code;
}

static void every_end_of_a_program_leaves_the_host_alive(void **state)
{
    (void)state;
    struct cell cell;
    assert_int_equal(end(&cell, ""), 3);
    assert_int_equal(end(&cell, "exit"), 9);
    assert_int_equal(end(&cell, "abort"), 128 + SIGABRT);
    assert_int_equal(cell.killed, SIGABRT);
    assert_int_equal(end(&cell, "segv"), 128 + SIGSEGV);
    assert_int_equal(cell.fault.signal, SIGSEGV);
    assert_int_equal(cell.fault.address, 0);
    assert_int_equal(end(&cell, "deep"), 128 + SIGSEGV);
    assert_true(cell.fault.address < BASE + STRIDE - STACK);
    assert_true(cell.fault.address >= BASE + STRIDE - STACK - (64 << 10));
}

static void threads_and_files_of_others_are_refused(void **state)
{
    (void)state;
    struct cell cell;
    assert_int_equal(end(&cell, "thread"), 0);
    assert_true(dup2(2, 100) == 100);
    assert_int_equal(end(&cell, "files"), 0);
    assert_int_equal(close(100), 0);
}

static void no_pointer_of_a_program_leads_out_of_its_range(void **state)
{
    (void)state;
    struct cell cell;
    char output[256], *argv[] = {"wild", NULL}, remove[64];
    char folder[] = "/tmp/weft-wild-XXXXXX"; /* some calls find a name, and make it */
    char *before = getcwd(NULL, 0);
    assert_non_null(before);
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    weft__log_set_level(WEFT_LOG_ERROR);
    open_cell(&cell, PROGRAMS "/wild");
    int64_t code = run(&cell, argv, output);
    assert_int_equal(code, 0);
    assert_int_equal(cell.killed, 0);
    close_cell(&cell);
    weft__log_set_level(WEFT_LOG_WARN);
    assert_int_equal(chdir(before), 0);
    snprintf(remove, sizeof(remove), "rm -rf %s", folder);
    assert_int_equal(system(remove), 0);
    free(before);
}

static int skip_where_there_are_no_cells(void **state)
{
    (void)state;
    int err = weft__gate_works();
    if (err)
        printf("skipped: %s\n", weft_fail_text(err));
    return err ? 77 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ordinary_program_runs_to_its_end),
        cmocka_unit_test(programs_that_run_after_one_another_do_not_meet),
        cmocka_unit_test(clocks_are_the_rank_s_and_are_read_without_a_system_call),
        cmocka_unit_test(every_end_of_a_program_leaves_the_host_alive),
        cmocka_unit_test(threads_and_files_of_others_are_refused),
        cmocka_unit_test(no_pointer_of_a_program_leads_out_of_its_range),
    };
    int skip = skip_where_there_are_no_cells(NULL);
    return skip ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
