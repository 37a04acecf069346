/* The file of settings, through inih. A file that is refused leaves the settings as they were. */
#include <sys/mman.h>
#include <unistd.h>

#include "base/config.h"
#include "base/log.h"
#include "fuzz.h"
#include "weft/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32];
    int fd = memfd_create("config", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0);
    FUZZ_CHECK(write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    (void)setenv("WEFT_CONFIG", path, 1);
    weft__log_set_level(WEFT_LOG_ERROR);
    int err = weft__config_load();
    FUZZ_CHECK(err == WEFT_OK || err == WEFT_EINVAL || err == WEFT_ERANGE);
    (void)unsetenv("WEFT_CONFIG");
    weft__log_set_level(WEFT_LOG_ERROR);
    FUZZ_CHECK(weft__config_load() == WEFT_OK);
    close(fd);
    return 0;
}
