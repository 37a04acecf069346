/* Log lines to stderr: level by WEFT_LOG (error, warn, info, debug; default warn), with time, host
 * and process. A line is written with one write(2), so lines of several processes do not mix. */
#ifndef WEFT_BASE_LOG_H
#define WEFT_BASE_LOG_H

#include "weft/api.h"

enum weft_log_level { WEFT_LOG_ERROR, WEFT_LOG_WARN, WEFT_LOG_INFO, WEFT_LOG_DEBUG };

/* Names this process in its log lines, e.g. "weftd a"; copied, at most 31 characters. */
void weft__log_name(const char *who);
void weft__log_set_level(enum weft_log_level level);
int weft__log_enabled(enum weft_log_level level);
void weft__log_write(enum weft_log_level level, const char *fmt, ...) WEFT_PRINTF(2, 3);

#define weft__log(level, ...)                                                                      \
    do {                                                                                           \
        if (weft__log_enabled(level))                                                              \
            weft__log_write(level, __VA_ARGS__);                                                   \
    } while (0)
#define weft__error(...) weft__log(WEFT_LOG_ERROR, __VA_ARGS__)
#define weft__warn(...) weft__log(WEFT_LOG_WARN, __VA_ARGS__)
#define weft__info(...) weft__log(WEFT_LOG_INFO, __VA_ARGS__)
#define weft__debug(...) weft__log(WEFT_LOG_DEBUG, __VA_ARGS__)

#endif
