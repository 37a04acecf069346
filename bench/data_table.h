/* Subjects by measures: a part of bench-data measures each subject in each way, round by round. */
#ifndef WEFT_BENCH_DATA_TABLE_H
#define WEFT_BENCH_DATA_TABLE_H

#include "data.h"
#include "data_pair.h"

struct data_measure {
    const char *id;   /* "latency.8B" */
    const char *what; /* in words */
    const char *unit;
    double scale; /* of what the task yields; 0: as it is */
    struct data_task task;
};

/* The figures by which all transports are measured; a table takes all, or the first of them. */
enum data_figure {
    FIGURE_PASS,
    FIGURE_PASS_64K,
    FIGURE_ASLEEP,
    FIGURE_RATE,
    FIGURE_ASLEEP_RATE,
    FIGURE_GET_64K,
    FIGURE_GET_1M,
    FIGURE_PUT_64K,
    FIGURE_PUT_1M,
    DATA_FIGURES
};
extern const struct data_measure data_figures[DATA_FIGURES];

enum { DATA_SUBJECTS_MAX = 12 };

struct data_table {
    const char *prefix; /* series are PREFIX.MEASURE.SUBJECT */
    const struct data_subject *subjects;
    size_t subjects_n; /* at most DATA_SUBJECTS_MAX */
    const struct data_measure *measures;
    size_t measures_n;
    unsigned slices;             /* of a round; each gives a value */
    struct bench_series *series; /* subjects_n * measures_n, zeroed */
};

struct bench_series *data_table_at(const struct data_table *table, size_t subject, size_t measure);
/* Measures all rounds, ms milliseconds for each figure. */
void data_table_run(const struct bench *bench, const struct data_table *table, unsigned ms);
/* Sorts the values of the series: goals come first. */
void data_table_print(const struct bench *bench, const struct data_table *table);

#endif
