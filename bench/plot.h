/* Bar charts as SVG files. */
#ifndef WEFT_BENCH_PLOT_H
#define WEFT_BENCH_PLOT_H

#include <stdbool.h>
#include <stddef.h>

struct plot_series {
    const char *name;
    const char *colour;   /* "#rrggbb" */
    const double *values; /* one per category; NAN: none */
    const double *low;    /* what the value lay between, where that is known; else NULL */
    const double *high;
};

struct plot {
    const char *title, *subtitle;
    const char *x_label, *y_label;
    const char *const *categories;
    size_t categories_n;
    const struct plot_series *series;
    size_t series_n;
};

/* Values are 0 or more. false: the file cannot be written (errno). */
bool plot_bars(const char *path, const struct plot *plot);

#endif
