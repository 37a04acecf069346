/* Lists of keys, as in `allowed` and `hosts`. Input: a byte: whether addresses stand before the
 * keys; then the text. */
#include "control/keys.h"
#include "fuzz.h"
#include "weft/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    bool addresses = fuzz_number(&input, 1) & 1;
    struct weft_key_file file = {0};
    struct weft_key key;
    char *text = malloc(input.left + 1);
    FUZZ_CHECK(text != NULL);
    memcpy(text, input.at, input.left);
    text[input.left] = '\0';
    if (weft__key_lines_parse(text, addresses, &file) == WEFT_OK) {
        for (size_t i = 0; i < file.n; i++) {
            char printed[WEFT_KEY_TEXT_LEN + 1];
            FUZZ_CHECK(memchr(file.lines[i].address, 0, sizeof(file.lines[i].address)) != NULL);
            weft__key_print(&file.lines[i].key, printed);
            FUZZ_CHECK(weft__key_parse(printed, WEFT_KEY_TEXT_LEN, &key) == WEFT_OK);
            FUZZ_CHECK(memcmp(&key, &file.lines[i].key, sizeof(key)) == 0);
        }
        weft__key_file_fini(&file);
    }
    (void)weft__key_parse(text, input.left, &key);
    free(text);
    return 0;
}
