/* Groups of bars over categories: axes from 0, a tick at each round number, values above the bars,
 * whiskers from the lowest to the highest, and a legend below the titles.
 *
 * Everything has one fixed size, so that plots of several runs can be laid side by side. */
#include "plot.h"

#include <math.h>
#include <stdio.h>

enum {
    WIDTH = 800,
    HEIGHT = 460,
    LEFT = 70,
    RIGHT = 20,
    TOP = 92,
    BOTTOM = 60,
    TICKS = 6, /* about as many */
    LETTER = 7 /* width of one of the legend, roughly */
};

struct axes {
    double top;  /* of the y axis */
    double step; /* between two ticks */
};

static void put_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '&')
            fputs("&amp;", out);
        else if (*text == '<')
            fputs("&lt;", out);
        else
            fputc(*text, out);
    }
}

static void text_at(FILE *out, double x, double y, const char *attributes, const char *words)
{
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, attributes);
    put_text(out, words);
    fputs("</text>\n", out);
}

static double highest(const struct plot *plot)
{
    double top = 0;
    for (size_t s = 0; s < plot->series_n; s++)
        for (size_t i = 0; i < plot->categories_n; i++) {
            const struct plot_series *series = &plot->series[s];
            top = fmax(top, series->values[i]); /* NAN does not count */
            top = series->high ? fmax(top, series->high[i]) : top;
        }
    return top > 0 ? top : 1;
}

/* A step of 1, 2 or 5 times a power of ten, and the first multiple of it with room for a value
 * above the highest bar. */
static struct axes make_axes(const struct plot *plot)
{
    double top = highest(plot) * 1.06, power = pow(10, floor(log10(top / TICKS)));
    double step = top / TICKS / power;
    step = (step <= 1 ? 1 : step <= 2 ? 2 : step <= 5 ? 5 : 10) * power;
    return (struct axes){.top = ceil(top / step) * step, .step = step};
}

static double y_of(const struct axes *axes, double value)
{
    return HEIGHT - BOTTOM - value / axes->top * (HEIGHT - BOTTOM - TOP);
}

static void draw_axes(FILE *out, const struct plot *plot, const struct axes *axes)
{
    char number[32];
    int ticks = (int)lround(axes->top / axes->step);
    for (int tick = 0; tick <= ticks; tick++) {
        double value = tick * axes->step, y = y_of(axes, value);
        fprintf(out,
                "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"%s\" "
                "stroke-width=\"1\"/>\n",
                LEFT, y, WIDTH - RIGHT, y, value > 0 ? "#dddddd" : "#444444");
        snprintf(number, sizeof(number), "%g", value);
        text_at(out, LEFT - 8, y + 4, "text-anchor=\"end\" class=\"tick\"", number);
    }
    fprintf(out, "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"#444444\"/>\n", LEFT, TOP,
            LEFT, HEIGHT - BOTTOM);
    text_at(out, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 12,
            "text-anchor=\"middle\" class=\"label\"", plot->x_label);
    snprintf(number, sizeof(number), "%d", (TOP + HEIGHT - BOTTOM) / 2);
    fprintf(out,
            "<text transform=\"translate(20 %s) rotate(-90)\" text-anchor=\"middle\" "
            "class=\"label\">",
            number);
    put_text(out, plot->y_label);
    fputs("</text>\n", out);
}

static void draw_whisker(FILE *out, const struct axes *axes, double x, double low, double high)
{
    fprintf(out,
            "<path d=\"M%.1f %.1fV%.1fM%.1f %.1fh8M%.1f %.1fh8\" stroke=\"#222222\" "
            "stroke-width=\"1\" fill=\"none\"/>\n",
            x, y_of(axes, low), y_of(axes, high), x - 4, y_of(axes, low), x - 4, y_of(axes, high));
}

struct bar {
    double x, width;
};

static void draw_bar(FILE *out, const struct axes *axes, const struct plot_series *series,
                     size_t category, struct bar bar)
{
    double value = series->values[category], y = y_of(axes, value), above = y;
    double middle = bar.x + bar.width / 2;
    char number[32];
    if (isnan(value))
        return;
    fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"><title>",
            bar.x, y, bar.width, HEIGHT - BOTTOM - y, series->colour);
    put_text(out, series->name);
    fprintf(out, ": %.3g</title></rect>\n", value);
    if (series->low && series->high) {
        draw_whisker(out, axes, middle, series->low[category], series->high[category]);
        above = y_of(axes, series->high[category]);
    }
    snprintf(number, sizeof(number), "%.*f", value < 99.95 ? 1 : 0, value);
    text_at(out, middle, above - 4, "text-anchor=\"middle\" class=\"value\"", number);
}

static void draw_bars(FILE *out, const struct plot *plot, const struct axes *axes)
{
    double group = (double)(WIDTH - LEFT - RIGHT) / (double)plot->categories_n;
    double width = group * 0.8 / (double)plot->series_n;
    for (size_t i = 0; i < plot->categories_n; i++) {
        double x = LEFT + group * (double)i;
        for (size_t s = 0; s < plot->series_n; s++)
            draw_bar(out, axes, &plot->series[s], i,
                     (struct bar){x + group * 0.1 + width * (double)s, width - 2});
        text_at(out, x + group / 2, HEIGHT - BOTTOM + 18, "text-anchor=\"middle\" class=\"tick\"",
                plot->categories[i]);
    }
}

static void draw_legend(FILE *out, const struct plot *plot)
{
    double x = LEFT;
    for (size_t s = 0; s < plot->series_n; s++) {
        size_t letters = 0;
        fprintf(out, "<rect x=\"%.1f\" y=\"60\" width=\"12\" height=\"12\" fill=\"%s\"/>\n", x,
                plot->series[s].colour);
        text_at(out, x + 17, 70.5, "class=\"tick\"", plot->series[s].name);
        while (plot->series[s].name[letters])
            letters++;
        x += 17 + LETTER * (double)letters + 16;
    }
}

bool plot_bars(const char *path, const struct plot *plot)
{
    struct axes axes = make_axes(plot);
    FILE *out = fopen(path, "we");
    if (!out)
        return false;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
            "height=\"%d\" font-family=\"DejaVu Sans, Verdana, sans-serif\" fill=\"#222222\">\n"
            "<style>.title{font-size:17px;font-weight:bold}.label{font-size:13px}"
            ".tick{font-size:12px}.value{font-size:10px}</style>\n"
            "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
    text_at(out, LEFT, 26, "class=\"title\"", plot->title);
    text_at(out, LEFT, 46, "class=\"tick\"", plot->subtitle);
    draw_legend(out, plot);
    draw_axes(out, plot, &axes);
    draw_bars(out, plot, &axes);
    fputs("</svg>\n", out);
    bool failed = ferror(out) != 0;
    return fclose(out) == 0 && !failed;
}
