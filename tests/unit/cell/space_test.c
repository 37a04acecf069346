/* Object files in a space: their code is mapped, what is written is the rank's own, and a space
 * that arrives finds them again or is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "cell/clock.h"
#include "cell/space.h"
#include "weft/error.h"

#define BASE UINT64_C(0x200000000000)
#define STRIDE (UINT64_C(1) << 30)
#define PAGE 4096u
#define PROGRAM PROGRAMS "/hello"
#define LIBRARY PROGRAMS "/ends"
enum { STACK = 1 << 20 };

struct test {
    struct weft_region region;
    struct weft__space_host host;
    int library; /* an object, to be mapped */
    uint64_t size;
    unsigned char bytes[2 * PAGE]; /* its first ones */
};

static int setup(void **state)
{
    static struct test test;
    static struct weft__clock clock;
    struct weft__object *program;
    struct stat status;
    memset(&test, 0, sizeof(test));
    assert_int_equal(weft__region_init(&test.region, "space", (void *)(uintptr_t)BASE, STRIDE),
                     WEFT_OK);
    test.library = open(LIBRARY, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fstat(test.library, &status), 0);
    test.size = (uint64_t)status.st_size;
    assert_int_equal(pread(test.library, test.bytes, sizeof(test.bytes), 0), sizeof(test.bytes));
    assert_int_equal(weft__object_open(PROGRAM, &program), WEFT_OK);
    test.host = (struct weft__space_host){.region = &test.region, .program = program->fd};
    const struct weft__space_desc desc = {.begin = BASE,
                                          .end = BASE + STRIDE,
                                          .stack_bytes = STACK,
                                          .clock = (uint64_t)(uintptr_t)&clock};
    assert_int_equal(weft__space_init(&test.host, &desc, &program->elf), WEFT_OK);
    *state = &test;
    return 0;
}

static int teardown(void **state)
{
    struct test *test = *state;
    weft__space_fini(&test->host);
    weft__region_fini(&test->region);
    close(test->library);
    return 0;
}

static int64_t map(struct test *test, uint64_t len_bytes, int prot)
{
    const uint64_t args[6] = {0, len_bytes, (uint64_t)prot, MAP_PRIVATE, (uint64_t)test->library};
    return weft__space_mmap(&test->host, args);
}

static unsigned char *at(int64_t address)
{
    assert_true(address > 0);
    return (unsigned char *)(uintptr_t)address;
}

/* Bytes of the range's file under it: what would be moved. */
static uint64_t touched(const struct test *test, int64_t address, uint64_t len_bytes)
{
    struct weft_extents extents = {0};
    uint64_t sum = 0, begin = (uint64_t)address - BASE;
    assert_int_equal(weft__region_touched(&test->region, &extents), WEFT_OK);
    for (size_t i = 0; i < extents.n; i++) {
        uint64_t from = extents.at[i].offset, to = from + extents.at[i].len_bytes;
        from = from > begin ? from : begin;
        to = to < begin + len_bytes ? to : begin + len_bytes;
        sum += to > from ? to - from : 0;
    }
    weft__extents_fini(&extents);
    return sum;
}

static void what_is_only_read_of_an_object_is_its_file(void **state)
{
    struct test *test = *state;
    int64_t address = map(test, 2 * PAGE, PROT_READ);
    assert_memory_equal(at(address), test->bytes, 2 * PAGE);
    assert_int_equal(touched(test, address, 2 * PAGE), 0);
    assert_int_equal(weft__space_munmap(&test->host, (uint64_t)address, 2 * PAGE), 0);
    int64_t writable = map(test, 2 * PAGE, PROT_READ | PROT_WRITE);
    assert_memory_equal(at(writable), test->bytes, 2 * PAGE);
    assert_int_equal(touched(test, writable, 2 * PAGE), 2 * PAGE);
}

static void pages_behind_the_end_of_an_object_are_zeros(void **state)
{
    struct test *test = *state;
    uint64_t end = (test->size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    int64_t address = map(test, end + 3 * PAGE, PROT_READ);
    const unsigned char *bytes = at(address);
    assert_memory_equal(bytes, test->bytes, 2 * PAGE);
    for (uint64_t i = test->size; i < end + 3 * PAGE; i++)
        assert_int_equal(bytes[i], 0);
    assert_int_equal(weft__space_munmap(&test->host, (uint64_t)address, end + 3 * PAGE), 0);
}

static void pages_of_an_object_that_are_to_be_written_become_the_rank_s(void **state)
{
    struct test *test = *state;
    int64_t address = map(test, 2 * PAGE, PROT_READ);
    unsigned char *bytes = at(address);
    assert_int_equal(
        weft__space_mprotect(&test->host, (uint64_t)address + PAGE, PAGE, PROT_READ | PROT_WRITE),
        0);
    assert_memory_equal(bytes, test->bytes, 2 * PAGE);
    assert_int_equal(touched(test, address, 2 * PAGE), PAGE);
    bytes[PAGE] ^= 1;
    assert_int_equal(weft__space_munmap(&test->host, (uint64_t)address, 2 * PAGE), 0);
    address = map(test, 2 * PAGE, PROT_READ);
    assert_memory_equal(at(address), test->bytes, 2 * PAGE);
}

static void memory_where_an_object_has_been_is_zeros(void **state)
{
    struct test *test = *state;
    int64_t address = map(test, 2 * PAGE, PROT_READ | PROT_EXEC);
    assert_memory_equal(at(address), test->bytes, 2 * PAGE);
    const uint64_t args[6] = {(uint64_t)address, 2 * PAGE, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED};
    assert_int_equal(weft__space_mmap(&test->host, args), address);
    for (unsigned i = 0; i < 2 * PAGE; i++)
        assert_int_equal(at(address)[i], 0);
    at(address)[0] = 1;
}

static void only_code_of_objects_is_executable(void **state)
{
    struct test *test = *state;
    uint64_t offset = 0;
    int fd = -1;
    int64_t address = map(test, PAGE, PROT_READ | PROT_EXEC);
    assert_true(address > 0);
    assert_non_null(weft__space_name(&test->host, (uint64_t)address, &offset, &fd));
    assert_string_equal(weft__space_name(&test->host, (uint64_t)address, &offset, &fd), "ends");
    assert_true(fd >= 0);
    assert_int_equal(map(test, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC), -EACCES);
    assert_int_equal(
        weft__space_mprotect(&test->host, (uint64_t)address, PAGE, PROT_WRITE | PROT_EXEC),
        -EACCES);
    close(test->library);
    test->library = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    assert_int_equal(map(test, PAGE, PROT_READ | PROT_EXEC), -EACCES);
}

static void a_space_that_arrives_finds_its_objects_or_is_refused(void **state)
{
    struct test *test = *state;
    int64_t address = map(test, 2 * PAGE, PROT_READ);
    assert_int_equal(weft__space_arrive(&test->host, BASE, BASE + STRIDE), WEFT_OK);
    assert_int_equal(weft__space_restore(&test->host, BASE, BASE + STRIDE), WEFT_OK);
    assert_memory_equal(at(address), test->bytes, 2 * PAGE);
    struct weft__object_name *name = &test->host.space->objects[0];
    name->build_id[0] ^= 1;
    assert_int_equal(weft__space_arrive(&test->host, BASE, BASE + STRIDE), WEFT_EPINNED);
    assert_non_null(strstr(weft_fail_text(WEFT_EPINNED), "is another build here"));
    name->build_id[0] ^= 1;
    name->path[1] ^= 1;
    assert_int_equal(weft__space_arrive(&test->host, BASE, BASE + STRIDE), WEFT_EPINNED);
    name->path[1] ^= 1;
    assert_int_equal(weft__space_munmap(&test->host, (uint64_t)address, 2 * PAGE), 0);
    memset(name, 0xff, sizeof(*name)); /* nobody asks for it any more */
    assert_int_equal(weft__space_arrive(&test->host, BASE, BASE + STRIDE), WEFT_OK);
    test->host.space->arena.extents[0].source = WEFT__SPACE_PROGRAM + WEFT__SPACE_OBJECTS + 1;
    assert_int_equal(weft__space_arrive(&test->host, BASE, BASE + STRIDE), WEFT_EPROTO);
}

static bool is_readable(int64_t address)
{
    char byte;
    int64_t rc = process_vm_readv(getpid(), &(struct iovec){&byte, 1}, 1,
                                  &(struct iovec){at(address), 1}, 1, 0);
    return rc == 1;
}

static void memory_that_is_closed_is_open_while_the_rank_stands(void **state)
{
    struct test *test = *state;
    const uint64_t args[6] = {0, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS};
    int64_t address = weft__space_mmap(&test->host, args);
    memset(at(address), 7, 3 * PAGE);
    assert_int_equal(weft__space_mprotect(&test->host, (uint64_t)address + PAGE, PAGE, PROT_NONE),
                     0);
    assert_false(is_readable(address + PAGE));
    assert_int_equal(weft__space_reveal(&test->host, true), WEFT_OK);
    assert_int_equal(at(address)[PAGE], 7);
    assert_int_equal(touched(test, address, 3 * PAGE), 3 * PAGE);
    assert_int_equal(weft__space_reveal(&test->host, false), WEFT_OK);
    assert_false(is_readable(address + PAGE));
    at(address)[0] = at(address)[2 * PAGE] = 1;
    struct weft__space_host fresh = {.region = &test->region};
    assert_int_equal(weft__space_reveal(&fresh, true), WEFT_OK);
}

/* What the books say needs no question of the kernel: what they do not is no answer. */
static void the_books_know_what_the_program_reads_and_writes(void **state)
{
    struct test *test = *state;
    const struct weft__space_host *host = &test->host;
    const uint64_t args[6] = {0, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                              (uint64_t)-1};
    uint64_t own = (uint64_t)weft__space_mmap(&test->host, args);
    uint64_t object = (uint64_t)map(test, 2 * PAGE, PROT_READ);
    assert_true(weft__space_holds(host, own, own + 3 * PAGE));
    assert_true(weft__space_holds(host, own + 1, own + 1));
    assert_false(weft__space_holds(host, own, own + UINT64_C(1000) * PAGE));
    assert_false(weft__space_holds(host, object, object + 1));
    assert_int_equal(weft__space_mprotect(&test->host, own + PAGE, PAGE, PROT_READ), 0);
    assert_true(weft__space_holds(host, own, own + PAGE));
    assert_false(weft__space_holds(host, own, own + PAGE + 1));
    assert_true(weft__space_holds(host, own + 2 * PAGE, own + 3 * PAGE));
    assert_int_equal(weft__space_munmap(&test->host, own, 3 * PAGE), 0);
    assert_false(weft__space_holds(host, own, own + 1));
    assert_false(weft__space_holds(host, 0, 1));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_only_read_of_an_object_is_its_file),
        CASE(pages_behind_the_end_of_an_object_are_zeros),
        CASE(pages_of_an_object_that_are_to_be_written_become_the_rank_s),
        CASE(memory_where_an_object_has_been_is_zeros),
        CASE(only_code_of_objects_is_executable),
        CASE(memory_that_is_closed_is_open_while_the_rank_stands),
        CASE(the_books_know_what_the_program_reads_and_writes),
        CASE(a_space_that_arrives_finds_its_objects_or_is_refused),
    };
#ifdef WEFT_TSAN
    printf("skipped: the range lies in the shadow of ThreadSanitizer\n");
    return 77;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
