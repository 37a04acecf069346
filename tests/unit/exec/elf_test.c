#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exec/elf.h"
#include "weft/error.h"

/* A copy of a file that may be changed. */
struct copy {
    struct weft__elf_file file;
    unsigned char *bytes;
};

static struct copy copy_of(const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    struct copy copy = {.bytes = malloc((size_t)status.st_size)};
    assert_non_null(copy.bytes);
    assert_int_equal(read(fd, copy.bytes, (size_t)status.st_size), status.st_size);
    close(fd);
    copy.file = (struct weft__elf_file){.name = "prog",
                                        .advice = "make it so",
                                        .bytes = copy.bytes,
                                        .len_bytes = (size_t)status.st_size};
    return copy;
}

static void expect_refusal(const struct copy *copy, const char *words)
{
    struct weft__elf elf;
    memset(&elf, 0x55, sizeof(elf));
    assert_int_equal(weft__elf_read(&copy->file, &elf), WEFT_ENOEXEC);
    assert_non_null(strstr(weft_fail_text(WEFT_ENOEXEC), words));
    assert_int_equal(elf.segments_n, 0x55555555); /* untouched */
}

static Elf64_Phdr header_at(const struct copy *copy, unsigned i)
{
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    memcpy(&header, copy->bytes, sizeof(header));
    memcpy(&segment, copy->bytes + header.e_phoff + i * sizeof(segment), sizeof(segment));
    return segment;
}

static void set_header(const struct copy *copy, unsigned i, const Elf64_Phdr *segment)
{
    Elf64_Ehdr header;
    memcpy(&header, copy->bytes, sizeof(header));
    memcpy(copy->bytes + header.e_phoff + i * sizeof(*segment), segment, sizeof(*segment));
}

/* The n-th segment that is loaded. */
static unsigned load(const struct copy *copy, unsigned n)
{
    for (unsigned i = 0;; i++)
        if (header_at(copy, i).p_type == PT_LOAD && n-- == 0)
            return i;
}

static void segments_ascend_and_hold_code_data_and_the_program_headers(void **state)
{
    (void)state;
    struct copy copy = copy_of("/proc/self/exe");
    struct weft__elf elf;
    assert_int_equal(weft__elf_read(&copy.file, &elf), WEFT_OK);
    int all = 0;
    for (unsigned i = 0; i < elf.segments_n; i++) {
        const struct weft__elf_segment *segment = &elf.segments[i];
        assert_true(segment->address >= elf.begin);
        assert_true(segment->address + segment->mem_bytes <= elf.end);
        assert_true(i == 0 || segment->address >= segment[-1].address + segment[-1].mem_bytes);
        all |= segment->prot;
    }
    assert_int_equal(all, PROT_READ | PROT_WRITE | PROT_EXEC);
    assert_true(elf.executable);
    assert_true(elf.dynamic);
    assert_false(elf.fixed);
    assert_false(elf.writes_text);
    assert_non_null(strstr(elf.interpreter, "ld-linux"));
    assert_int_equal(elf.headers, sizeof(Elf64_Ehdr));
    assert_int_not_equal(elf.build_id_len, 0);
    free(copy.bytes);
}

static void a_file_without_a_build_id_is_named_by_its_bytes(void **state)
{
    (void)state;
    struct copy copy = copy_of("/proc/self/exe");
    Elf64_Ehdr header;
    memcpy(&header, copy.bytes, sizeof(header));
    for (unsigned i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr segment = header_at(&copy, i);
        if (segment.p_type == PT_NOTE)
            segment.p_type = PT_NULL;
        set_header(&copy, i, &segment);
    }
    struct weft__elf one, other;
    assert_int_equal(weft__elf_read(&copy.file, &one), WEFT_OK);
    copy.bytes[copy.file.len_bytes - 1] ^= 1;
    assert_int_equal(weft__elf_read(&copy.file, &other), WEFT_OK);
    assert_int_equal(one.build_id_len, 16);
    assert_memory_not_equal(one.build_id, other.build_id, 16);
    free(copy.bytes);
}

static void every_contradiction_is_refused_by_name(void **state)
{
    (void)state;
    struct copy copy = copy_of("/proc/self/exe");
    unsigned first = load(&copy, 0), second = load(&copy, 1);
    const Elf64_Phdr good = header_at(&copy, second), before = header_at(&copy, first);
    Elf64_Phdr bad = good;
    bad.p_offset = copy.file.len_bytes - bad.p_filesz + 1;
    set_header(&copy, second, &bad);
    expect_refusal(&copy, "cut short");
    bad = good;
    bad.p_filesz = bad.p_memsz + 1;
    set_header(&copy, second, &bad);
    expect_refusal(&copy, "impossible size");
    bad = good;
    bad.p_memsz = UINT64_MAX - 100;
    set_header(&copy, second, &bad);
    expect_refusal(&copy, "impossible size");
    bad = good;
    bad.p_vaddr = UINT64_MAX - 4095 + good.p_offset % 4096;
    set_header(&copy, second, &bad);
    expect_refusal(&copy, "impossible size");
    bad = good;
    bad.p_vaddr++;
    set_header(&copy, second, &bad);
    expect_refusal(&copy, "mapped by pages");
    bad = good;
    bad.p_vaddr = before.p_vaddr + good.p_offset % 4096;
    set_header(&copy, second, &bad);
    expect_refusal(&copy, "overlap");
    set_header(&copy, second, &good);
    Elf64_Ehdr header;
    memcpy(&header, copy.bytes, sizeof(header));
    Elf64_Ehdr lying = header;
    lying.e_entry = 1;
    memcpy(copy.bytes, &lying, sizeof(lying));
    expect_refusal(&copy, "entry");
    lying = header;
    lying.e_machine = EM_S390;
    memcpy(copy.bytes, &lying, sizeof(lying));
    expect_refusal(&copy, "another machine");
    lying = header;
    lying.e_type = ET_REL;
    memcpy(copy.bytes, &lying, sizeof(lying));
    expect_refusal(&copy, "make it so");
    free(copy.bytes);
}

/* Whatever the bytes are, reading them ends with an error or with segments that lie in the file. */
static void no_damage_leads_outside_the_file(void **state)
{
    (void)state;
    struct copy copy = copy_of("/proc/self/exe");
    uint64_t random = 1;
    unsigned read_anyway = 0;
    unsigned char good[1024];
    memcpy(good, copy.bytes, sizeof(good));
    for (unsigned run = 0; run < 20000; run++) {
        for (unsigned n = 0; n <= run % 4; n++) {
            random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            copy.bytes[(random >> 33) % sizeof(good)] = (unsigned char)(random >> 56);
        }
        struct weft__elf elf;
        if (weft__elf_read(&copy.file, &elf) == WEFT_OK) {
            read_anyway++;
            for (unsigned i = 0; i < elf.segments_n; i++)
                assert_non_null(
                    weft__elf_at(&copy.file, elf.segments[i].offset, elf.segments[i].file_bytes));
        }
        memcpy(copy.bytes, good, sizeof(good));
    }
    assert_true(read_anyway > 0);
    free(copy.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_ascend_and_hold_code_data_and_the_program_headers),
        cmocka_unit_test(a_file_without_a_build_id_is_named_by_its_bytes),
        cmocka_unit_test(every_contradiction_is_refused_by_name),
        cmocka_unit_test(no_damage_leads_outside_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
