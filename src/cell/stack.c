/* Strings at the top, below them the vectors that point to them, the number of arguments lowest.
 * What is needed is counted first, so nothing is written where it does not fit. As the kernel does,
 * zeros are left behind the strings: glibc 2.36 reads on behind a list of processor features that
 * ends with the environment, until it finds two zeros. */
#include "cell/stack.h"

#include <elf.h>
#include <string.h>

#include "weft/error.h"

enum { RANDOM_BYTES = 16, ALIGN = 16, AUX_OWN = 3, ZEROS = 16 };

struct lengths {
    size_t strings_n, bytes; /* of a list */
};

static struct lengths measure(char *const *strings)
{
    struct lengths lengths = {0};
    for (; strings[lengths.strings_n]; lengths.strings_n++)
        lengths.bytes += strlen(strings[lengths.strings_n]) + 1;
    return lengths;
}

static uint64_t put(unsigned char **at, const void *bytes, size_t len)
{
    uint64_t address = (uint64_t)(uintptr_t)*at;
    memcpy(*at, bytes, len);
    *at += len;
    return address;
}

static uint64_t *put_list(uint64_t *words, unsigned char **at, char *const *strings)
{
    for (; *strings; strings++)
        *words++ = put(at, *strings, strlen(*strings) + 1);
    *words++ = 0;
    return words;
}

static uint64_t *put_aux(uint64_t *words, uint64_t type, uint64_t value)
{
    *words++ = type;
    *words++ = value;
    return words;
}

int weft__stack_build(const struct weft__stack_desc *desc, uint64_t **sp_out)
{
    const struct lengths argv = measure(desc->argv), envp = measure(desc->envp);
    size_t path_len = strlen(desc->path) + 1;
    size_t strings = RANDOM_BYTES + argv.bytes + envp.bytes + path_len + ZEROS;
    size_t words = 1 + argv.strings_n + 1 + envp.strings_n + 1 + 2 * (desc->aux_n + AUX_OWN);
    size_t len = (strings + words * sizeof(uint64_t) + 2 * ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (len > (size_t)(desc->top - desc->bottom) / 2)
        return weft_fail(WEFT_ENOMEM,
                         "arguments and environment of %s have %zu bytes: more than "
                         "half of its stack",
                         desc->path, len);
    uint64_t *sp = (uint64_t *)(void *)(desc->top - len), *word = sp;
    unsigned char *at = desc->top - strings;
    const uint64_t random = put(&at, desc->random, RANDOM_BYTES);
    *word++ = argv.strings_n;
    word = put_list(word, &at, desc->argv);
    word = put_list(word, &at, desc->envp);
    word = put_aux(word, AT_RANDOM, random);
    word = put_aux(word, AT_EXECFN, put(&at, desc->path, path_len));
    memset(at, 0, ZEROS);
    for (size_t i = 0; i < desc->aux_n; i++)
        word = put_aux(word, desc->aux[i].type, desc->aux[i].value);
    (void)put_aux(word, AT_NULL, 0);
    *sp_out = sp;
    return WEFT_OK;
}
