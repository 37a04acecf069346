#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/heap.h"
#include "mpi/request.h"

enum { REGION = 64 << 20 };

static struct weft_mpi_comm comm = {.refs = 1}; /* never freed */

/* A rank's state without a runtime: enough for the table. */
static struct weft_mpi *make(struct weft_cell *cell, void **memory_out)
{
    void *memory = aligned_alloc(4096, REGION);
    struct weft_mpi *mpi;
    assert_non_null(memory);
    memset(cell, 0, sizeof(*cell));
    cell->base = memory;
    cell->len_bytes = REGION;
    cell->heap = weft__heap_init(memory, REGION);
    mpi = weft__heap_calloc(cell->heap, 1, sizeof(*mpi));
    assert_non_null(mpi);
    mpi->cell = cell;
    weft__mpi_list_init(&mpi->free);
    *memory_out = memory;
    return mpi;
}

static void every_handle_leads_back_to_its_request(void **state)
{
    enum { N = 5000 };
    struct weft_cell cell;
    void *memory;
    struct weft_mpi *mpi = make(&cell, &memory);
    static struct weft_mpi_request *requests[N];
    (void)state;
    for (int i = 0; i < N; i++) {
        requests[i] = weft__mpi_request_new(mpi, &comm, WEFT_MPI_RECV);
        requests[i]->tag = i;
    }
    for (int i = 0; i < N; i++) {
        MPI_Request handle = weft__mpi_request_handle(requests[i]);
        assert_ptr_equal(weft__mpi_request_find(mpi, handle), requests[i]);
        assert_true((uintptr_t)handle > 4095 && (uintptr_t)handle <= INT32_MAX);
        assert_int_equal(requests[i]->tag, i);
        assert_true(i == 0 || handle != weft__mpi_request_handle(requests[i - 1]));
    }
    weft__mpi_request_fini(mpi);
    free(memory);
}

static void a_freed_request_is_found_no_more(void **state)
{
    struct weft_cell cell;
    void *memory;
    struct weft_mpi *mpi = make(&cell, &memory);
    struct weft_mpi_request *request = weft__mpi_request_new(mpi, &comm, WEFT_MPI_SEND);
    MPI_Request handle = weft__mpi_request_handle(request);
    (void)state;
    weft__mpi_request_free(mpi, request);
    assert_null(weft__mpi_request_find(mpi, handle));
    assert_null(weft__mpi_request_find(mpi, MPI_REQUEST_NULL));
    assert_null(weft__mpi_request_find(mpi, (MPI_Request)(uintptr_t)0x12345));
    assert_null(weft__mpi_request_find(mpi, (MPI_Request)UINTPTR_MAX));
    assert_int_equal(mpi->requests_n, 0);
    weft__mpi_request_fini(mpi);
    free(memory);
}

static MPI_Request guess(const struct weft_mpi_request *request)
{
    return (MPI_Request)(((uintptr_t)request->index + 1) << WEFT_MPI_HANDLE_SHIFT | /* NOLINT */
                         WEFT_MPI_REQUEST_KIND);
}

static void requests_without_a_handle_and_forgotten_ones_are_not_found(void **state)
{
    struct weft_cell cell;
    void *memory;
    struct weft_mpi *mpi = make(&cell, &memory);
    struct weft_mpi_request *part = weft__mpi_request_new(mpi, &comm, WEFT_MPI_SEND);
    struct weft_mpi_request *forgotten = weft__mpi_request_new(mpi, &comm, WEFT_MPI_RECV);
    (void)state;
    assert_null(weft__mpi_request_find(mpi, guess(part)));
    assert_ptr_equal(guess(forgotten), weft__mpi_request_handle(forgotten));
    assert_ptr_equal(weft__mpi_request_find(mpi, guess(forgotten)), forgotten);
    forgotten->detached = true;
    assert_null(weft__mpi_request_find(mpi, guess(forgotten)));
    weft__mpi_request_complete(mpi, forgotten, MPI_SUCCESS);
    assert_int_equal(mpi->requests_n, 1);
    weft__mpi_request_fini(mpi);
    free(memory);
}

static void pin(struct weft_mpi *mpi, struct weft_mpi_request *request, void *buf)
{
    const struct weft_mpi_buffer one_int = {buf, 1, weft__mpi_type_number(MPI_INT)};
    weft__mpi_request_pin(mpi, request, &one_int);
}

static void pins_count_requests_with_memory_outside(void **state)
{
    struct weft_cell cell;
    void *memory;
    int outside[2];
    struct weft_mpi *mpi = make(&cell, &memory);
    struct weft_mpi_request *a = weft__mpi_request_new(mpi, &comm, WEFT_MPI_RECV);
    struct weft_mpi_request *b = weft__mpi_request_new(mpi, &comm, WEFT_MPI_RECV);
    struct weft_mpi_request *c = weft__mpi_request_new(mpi, &comm, WEFT_MPI_RECV);
    (void)state;
    pin(mpi, a, &outside[0]);
    pin(mpi, a, &outside[0]);
    pin(mpi, b, (char *)memory + REGION - 2); /* half of it is outside */
    pin(mpi, c, (char *)memory + 100);
    assert_int_equal(cell.pins, 2);
    assert_true(strlen(cell.pin_reason) > 0);
    weft__mpi_request_complete(mpi, a, MPI_SUCCESS);
    assert_int_equal(cell.pins, 1);
    weft__mpi_request_complete(mpi, b, MPI_SUCCESS);
    weft__mpi_request_complete(mpi, c, MPI_SUCCESS);
    assert_int_equal(cell.pins, 0);
    assert_string_equal(cell.pin_reason, "");
    weft__mpi_request_fini(mpi);
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_handle_leads_back_to_its_request),
        cmocka_unit_test(a_freed_request_is_found_no_more),
        cmocka_unit_test(requests_without_a_handle_and_forgotten_ones_are_not_found),
        cmocka_unit_test(pins_count_requests_with_memory_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
